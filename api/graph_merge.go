package api

import (
	"encoding/json"
	"errors"
	"fmt"
)

// graphMerge puts together what a server delivers of one operation, step by step. It
// understands the format with ids and pending results (GraphQL, draft of incremental
// delivery; "incrementalSpec=v0.2") and the one with paths before it
// ("deferSpec=20220824"), also where a step is a single patch.
type graphMerge struct {
	hasNext bool
	data    any                  // of the steps so far; nil: null
	pending map[string]GraphPath // by id
}

// graphPatch is a part of the data that came later.
type graphPatch struct {
	ID      *string
	SubPath GraphPath
	Path    GraphPath
	Data    json.RawMessage
	Items   json.RawMessage
	Errors  GraphErrors
}

// graphStep is what is said of parts of the data in one payload.
type graphStep struct {
	Pending []struct {
		ID   string
		Path GraphPath
	}
	Incremental []graphPatch
	Completed   []struct {
		ID     string
		Errors GraphErrors
	}
}

// next takes the next payload. The answer is nil for one that brings nothing.
func (m *graphMerge) next(raw json.RawMessage) (*GraphAnswer, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, notGraph("a payload is no object")
	}
	_, hasData := members["data"]
	_, hasPath := members["path"]
	adds := hasPath || !hasData && (members["incremental"] != nil || members["completed"] != nil || members["hasNext"] != nil)
	if !adds || !m.hasNext {
		return m.first(members, raw)
	}
	return m.later(members, raw, hasPath)
}

// first takes a payload that is a whole answer by itself, or the beginning of one.
func (m *graphMerge) first(members map[string]json.RawMessage, raw json.RawMessage) (*GraphAnswer, error) {
	a, err := graphOf(members)
	if err != nil {
		return nil, err
	}
	*m = graphMerge{hasNext: a.HasNext}
	if !a.HasNext && members["incremental"] == nil {
		return a, nil
	}
	if !rawNull(a.Data) {
		if m.data, err = jsonTree(a.Data); err != nil {
			return nil, notGraph("its data: %w", err)
		}
	}
	changed, faults, err := m.step(raw)
	if err != nil {
		return nil, err
	}
	a.Errors = append(a.Errors, faults...)
	if changed {
		a.Data, err = plainJSON(m.data)
	}
	return a, err
}

// later takes a payload that adds to the answer.
func (m *graphMerge) later(members map[string]json.RawMessage, raw json.RawMessage, single bool) (*GraphAnswer, error) {
	a := &GraphAnswer{}
	if err := a.take(members); err != nil {
		return nil, err
	}
	m.hasNext = a.HasNext
	changed, faults, err := m.step(raw)
	if err == nil && single {
		var p graphPatch
		if err = json.Unmarshal(raw, &p); err != nil {
			return nil, notGraph("a patch: %w", err)
		}
		changed = true
		err = m.apply(&p) // its errors are those of the payload
	}
	if err != nil {
		return nil, err
	}
	a.Errors = append(a.Errors, faults...)
	if !changed && len(a.Errors) == 0 && a.Extensions == nil {
		return nil, nil
	}
	a.Data, err = plainJSON(m.data)
	return a, err
}

// step takes the parts of the data in a payload.
func (m *graphMerge) step(raw json.RawMessage) (changed bool, faults GraphErrors, err error) {
	var s graphStep
	if err := json.Unmarshal(raw, &s); err != nil {
		return false, nil, notGraph("its parts: %w", err)
	}
	for _, p := range s.Pending {
		if m.pending == nil {
			m.pending = make(map[string]GraphPath)
		}
		m.pending[p.ID] = p.Path
	}
	for i := range s.Incremental {
		p := &s.Incremental[i]
		if err := m.apply(p); err != nil {
			return false, nil, err
		}
		faults = append(faults, p.Errors...)
	}
	for _, c := range s.Completed {
		if _, ok := m.pending[c.ID]; !ok {
			return false, nil, notGraph("a part with the unknown id %q is complete", shortText(c.ID, 32))
		}
		delete(m.pending, c.ID)
		faults = append(faults, c.Errors...)
	}
	return len(s.Incremental) > 0, faults, faults.check()
}

// apply puts a part into its place.
func (m *graphMerge) apply(p *graphPatch) error {
	path := p.Path
	if p.ID != nil {
		base, ok := m.pending[*p.ID]
		if !ok {
			return notGraph("a part of its data has the unknown id %q", shortText(*p.ID, 32))
		}
		path = append(base[:len(base):len(base)], p.SubPath...)
	}
	var err error
	switch {
	case !rawNull(p.Items):
		err = m.applyItems(p, path)
	case !rawNull(p.Data): // else errors have left nothing of it
		var data any
		if data, err = jsonTree(p.Data); err == nil {
			m.data, err = graphAt(m.data, path, func(old any) (any, error) { return mergedValues(old, data), nil })
		}
	}
	if err != nil {
		return notGraph("a part of its data at %s: %w", shortText(path.String(), 128), err)
	}
	return nil
}

// applyItems adds items to a list: at its end, or, where paths tell it, from the index
// with which the path ends.
func (m *graphMerge) applyItems(p *graphPatch, path GraphPath) error {
	tree, err := jsonTree(p.Items)
	if err != nil {
		return err
	}
	items, ok := tree.([]any)
	if !ok {
		return errors.New("its items are no list")
	}
	from := -1
	if p.ID == nil {
		if len(path) == 0 {
			return errors.New("it has no index")
		}
		if from, ok = path[len(path)-1].(int); !ok {
			return errors.New("its path does not end with an index")
		}
		path = path[:len(path)-1]
	}
	m.data, err = graphAt(m.data, path, func(old any) (any, error) {
		list, ok := old.([]any)
		switch {
		case !ok:
			return nil, errors.New("there is no list")
		case from > len(list):
			return nil, fmt.Errorf("the list has %d items", len(list))
		case from >= 0:
			over := min(len(list)-from, len(items))
			copy(list[from:], items[:over])
			items = items[over:]
		}
		return append(list, items...), nil
	})
	return err
}

// graphAt gives node with what is at the path below it changed by f. An index may be that of
// the first item behind a list.
func graphAt(node any, path GraphPath, f func(any) (any, error)) (any, error) {
	if len(path) == 0 {
		return f(node)
	}
	switch element := path[0].(type) {
	case string:
		object, ok := node.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("there is no object with %q", shortText(element, 64))
		}
		value, ok := object[element]
		if !ok {
			return nil, fmt.Errorf("there is no %q", shortText(element, 64))
		}
		value, err := graphAt(value, path[1:], f)
		if err != nil {
			return nil, err
		}
		object[element] = value
	case int:
		list, ok := node.([]any)
		if !ok || element > len(list) {
			return nil, fmt.Errorf("there is no item %d", element)
		}
		if element == len(list) {
			list = append(list, nil)
		}
		value, err := graphAt(list[element], path[1:], f)
		if err != nil {
			return nil, err
		}
		list[element] = value
		return list, nil
	}
	return node, nil
}

// mergedValues gives what two deliveries of a value make together: the members of objects are
// joined, the items of lists one by one, and of anything else the later one counts.
func mergedValues(old, later any) any {
	switch later := later.(type) {
	case map[string]any:
		object, ok := old.(map[string]any)
		if !ok {
			return later
		}
		for name, value := range later {
			object[name] = mergedValues(object[name], value)
		}
		return object
	case []any:
		list, ok := old.([]any)
		if !ok {
			return later
		}
		for i, value := range later {
			if i == len(list) {
				return append(list, later[i:]...)
			}
			list[i] = mergedValues(list[i], value)
		}
		return list
	}
	return later
}

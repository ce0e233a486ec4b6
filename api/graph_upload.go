package api

import (
	"crypto/rand"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/seed-0474a412/parley"
)

// Upload is a file among the variables of an operation of a [Graph]. Make one with
// [NewUpload].
type Upload struct {
	part  parley.Part
	token string // stands for the file in the variables' JSON
}

// NewUpload gives a file for the variables of [Execute], to stand wherever the schema has
// an Upload in them, in maps, slices and the exported fields of structs:
//
//	file := api.NewUpload(parley.FormFile("", "photo.jpg"))
//	api.Execute[Photo](ctx, graph, mutation, map[string]any{"file": file})
//
// Such an operation is sent as a form by the GraphQL multipart request specification
// (https://github.com/jaydenseric/graphql-multipart-request-spec), each file streamed as
// its part says, and once where it stands in several places. The name of the part is of no
// account; without a file name it gets that of "blob", since servers take parts without
// one for fields.
func NewUpload(part parley.Part) *Upload {
	var random [16]byte
	rand.Read(random[:]) // it never fails
	return &Upload{part: part, token: "upload:" + hex.EncodeToString(random[:])}
}

// MarshalJSON gives what stands for the file until the operation is sent.
func (u Upload) MarshalJSON() ([]byte, error) {
	if u.token == "" {
		return []byte("null"), nil
	}
	return json.Marshal(u.token)
}

// Format prints the name of the file, for all verbs.
func (u Upload) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "<Upload %s>", shortText(u.part.FileName, 64))
}

// uploadFinder collects uploads by their tokens, wherever package json looks.
type uploadFinder struct {
	found map[string]parley.Part
	seen  map[seenValue]bool // what may lead back to itself
}

type seenValue struct {
	at  uintptr
	len int
	typ reflect.Type
}

func (f *uploadFinder) find(v reflect.Value) {
	if !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		key := seenValue{at: v.Pointer(), typ: v.Type()}
		if v.Kind() != reflect.Pointer {
			key.len = v.Len()
		}
		if v.IsNil() || f.seen[key] {
			return
		}
		f.seen[key] = true
	}
	if v.Type() == reflect.TypeFor[Upload]() {
		u := v.Interface().(Upload)
		f.found[u.token] = u.part
		return
	}
	if k := v.Kind(); k != reflect.Pointer && k != reflect.Interface && opaque(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		f.find(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				f.find(v.Field(i))
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			f.find(it.Value())
		}
	case reflect.Slice, reflect.Array:
		if k := v.Type().Elem().Kind(); k >= reflect.Bool && k <= reflect.Complex128 || k == reflect.String {
			return
		}
		for i := range v.Len() {
			f.find(v.Index(i))
		}
	}
}

// opaque reports whether values of a type encode themselves.
func opaque(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// uploadForm is the files of an operation, taken out of its variables.
type uploadForm struct {
	found map[string]parley.Part
	parts []parley.Part
	names map[string]string   // of the parts, by token
	paths map[string][]string // of the places in the operation, by name
}

// takeUploads gives the variables with null in the place of every file, and the files; nil
// if there are none.
func takeUploads(vars any) (any, *uploadForm, error) {
	if vars == nil {
		return nil, nil, nil
	}
	f := &uploadForm{found: make(map[string]parley.Part), names: make(map[string]string), paths: make(map[string][]string)}
	finder := uploadFinder{f.found, make(map[seenValue]bool)}
	finder.find(reflect.ValueOf(vars))
	delete(f.found, "") // a zero Upload is null
	if len(f.found) == 0 {
		return vars, nil, nil
	}
	encoded, err := plainJSON(vars)
	if err != nil {
		return nil, nil, err
	}
	tree, err := jsonTree(encoded)
	if err != nil {
		return nil, nil, err
	}
	tree = f.take(tree, "variables")
	if len(f.names) < len(f.found) {
		return nil, nil, errors.New("an Upload is in the variables, but not in their JSON")
	}
	return tree, f, nil
}

// take replaces the files below a place by null.
func (f *uploadForm) take(node any, path string) any {
	switch node := node.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(node)) {
			node[name] = f.take(node[name], path+"."+name)
		}
	case []any:
		for i := range node {
			node[i] = f.take(node[i], path+"."+strconv.Itoa(i))
		}
	case string:
		part, ok := f.found[node]
		if !ok {
			return node
		}
		name, again := f.names[node]
		if !again {
			name = strconv.Itoa(len(f.parts))
			f.names[node] = name
			part.Name = name
			if part.FileName == "" {
				part.FileName = "blob"
			}
			f.parts = append(f.parts, part)
		}
		f.paths[name] = append(f.paths[name], path)
		return nil
	}
	return node
}

// form gives the parts of the whole form, in the order that lets a server resolve the
// operation while files are still coming.
func (f *uploadForm) form(req graphRequest) ([]parley.Part, error) {
	operations, err := plainJSON(req)
	if err != nil {
		return nil, err
	}
	places, err := plainJSON(f.paths)
	if err != nil {
		return nil, err
	}
	fields := []parley.Part{parley.FormField("operations", string(operations)), parley.FormField("map", string(places))}
	return append(fields, f.parts...), nil
}

package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// editRecord is a JSON resource with a revision, and the condition that PUT depends on.
type editRecord struct {
	mu       sync.Mutex
	content  string
	revision int
	tag      string // format of the entity tag; "": none
	date     bool   // whether there is Last-Modified
	asked    []http.Header
	meddle   func(*editRecord) // called after each GET
}

// stamp is the date of the last change.
func (s *editRecord) stamp() string {
	return fmt.Sprintf("Sun, 29 Nov 2026 10:00:%02d GMT", s.revision)
}

func (s *editRecord) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Header.Clone())
	if r.Method == http.MethodGet {
		if s.tag != "" {
			w.Header().Set("ETag", fmt.Sprintf(s.tag, s.revision))
		}
		if s.date {
			w.Header().Set("Last-Modified", s.stamp())
		}
		serveJSON(w, s.content)
		if s.meddle != nil {
			s.meddle(s)
		}
		return
	}
	given := r.Header.Get("If-Match")
	if given != "" && given != fmt.Sprintf(s.tag, s.revision) || given == "" && r.Header.Get("If-Unmodified-Since") != "" && r.Header.Get("If-Unmodified-Since") != s.stamp() {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Type") != "application/json" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.content = string(body)
	s.revision++
	w.WriteHeader(http.StatusNoContent)
}

type editCounter struct {
	N    int
	Note string `json:",omitempty"`
}

func editIncrement(c *editCounter) error {
	c.N++
	return nil
}

func TestEdit_dependsOnWhatWasGot(t *testing.T) {
	t.Parallel()
	for rule, tt := range map[string]struct {
		tag            string
		date           bool
		match, unmoved string
	}{
		"a strong tag":                       {`"v%d"`, false, `"v7"`, ""},
		"a tag rather than a date":           {`"v%d"`, true, `"v7"`, ""},
		"a weak tag cannot serve, so a date": {`W/"v%d"`, true, "", "Sun, 29 Nov 2026 10:00:07 GMT"},
		"a malformed tag counts as none":     {`v%d`, true, "", "Sun, 29 Nov 2026 10:00:07 GMT"},
		"two tags are none":                  {`"a", "b%d"`, true, "", "Sun, 29 Nov 2026 10:00:07 GMT"},
		"a date":                             {"", true, "", "Sun, 29 Nov 2026 10:00:07 GMT"},
	} {
		t.Run(rule, func(t *testing.T) {
			s := &editRecord{content: `{"N":1}`, revision: 7, tag: tt.tag, date: tt.date}
			r := api.NewResource(resourceSession(t, s.ServeHTTP))
			got, err := api.Edit(t.Context(), r, editIncrement, parley.WithHeader("X-A", "1"))
			require.NoError(t, err)
			require.Equal(t, editCounter{N: 2}, got)
			require.JSONEq(t, `{"N":2}`, s.content)
			require.Len(t, s.asked, 2)
			require.Empty(t, s.asked[0].Get("Accept-Encoding"), "a tag of coded content is not that of the resource")
			require.Equal(t, []string{tt.match, tt.unmoved, "1"}, []string{s.asked[1].Get("If-Match"), s.asked[1].Get("If-Unmodified-Since"), s.asked[1].Get("X-A")})
		})
	}
}

func TestEdit_triesAgainWhereSomebodyWasFaster(t *testing.T) {
	t.Parallel()
	left := 2
	s := &editRecord{content: `{"N":1}`, tag: `"%d"`, meddle: func(s *editRecord) {
		if left--; left >= 0 {
			s.content, s.revision = `{"N":10,"Note":"theirs"}`, s.revision+1
		}
	}}
	r := api.NewResource(resourceSession(t, s.ServeHTTP))
	calls := 0
	got, err := api.Edit(t.Context(), r, func(c *editCounter) error { calls++; return editIncrement(c) })
	require.NoError(t, err)
	require.Equal(t, editCounter{11, "theirs"}, got, "the change is made to what is there then")
	require.Equal(t, 3, calls)

	s.meddle = func(s *editRecord) { s.revision++ }
	for want, policy := range map[int]api.EditPolicy{api.DefaultEditTries: {}, 2: {MaxTries: 2}} {
		calls = 0
		_, err = api.Edit(t.Context(), r, func(c *editCounter) error { calls++; return editIncrement(c) }, api.WithEditPolicy(policy))
		var status *parley.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, http.StatusPreconditionFailed, status.StatusCode)
		require.ErrorContains(t, err, fmt.Sprintf("in each of %d tries", want))
		require.Equal(t, want, calls)
	}
	require.JSONEq(t, `{"N":11,"Note":"theirs"}`, s.content)
}

// Many that edit at once lose nothing.
func TestEdit_losesNothing(t *testing.T) {
	t.Parallel()
	s := &editRecord{content: `{"N":0}`, tag: `"%d"`}
	r := api.NewResource(resourceSession(t, s.ServeHTTP), api.WithEditPolicy(api.EditPolicy{MaxTries: 1000}))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := api.Edit(t.Context(), r, editIncrement); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.JSONEq(t, `{"N":8}`, s.content)
}

func TestEdit_withoutAValidator(t *testing.T) {
	t.Parallel()
	s := &editRecord{content: `{"N":1}`, tag: `W/"%d"`}
	r := api.NewResource(resourceSession(t, s.ServeHTTP))
	_, err := api.Edit(t.Context(), r, editIncrement)
	require.ErrorIs(t, err, api.ErrNoValidator)
	require.ErrorContains(t, err, "Unconditional")
	require.Len(t, s.asked, 1, "nothing was put")
	got, err := api.Edit(t.Context(), r.With(api.WithEditPolicy(api.EditPolicy{Unconditional: true})), editIncrement)
	require.NoError(t, err)
	require.Equal(t, 2, got.N)
}

func TestEdit_failures(t *testing.T) {
	t.Parallel()
	s := &editRecord{content: `{"N":9007199254740993}`, tag: `"%d"`}
	r := api.NewResource(resourceSession(t, s.ServeHTTP))
	mine := errors.New("mine")
	_, err := api.Edit(t.Context(), r, func(*editCounter) error { return mine })
	require.Equal(t, mine, err)
	_, err = api.Edit[editCounter](t.Context(), r, nil)
	require.ErrorAs(t, err, new(*parley.Error))
	_, err = api.Edit(t.Context(), r, func(*[]int) error { return nil })
	require.ErrorIs(t, err, parley.ErrDecoding)
	require.Len(t, s.asked, 2, "nothing was put")

	// A number is put back as it was.
	got, err := api.Edit(t.Context(), r, func(m *map[string]any) error { (*m)["Note"] = "x"; return nil })
	require.NoError(t, err)
	require.Equal(t, map[string]any{"N": json.Number("9007199254740993"), "Note": "x"}, got)
	require.JSONEq(t, `{"N":9007199254740993,"Note":"x"}`, s.content)
	s.content = "{"
	_, err = api.Edit(t.Context(), r, editIncrement)
	require.ErrorIs(t, err, parley.ErrDecoding)

	text := resourceSession(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "text") })
	_, err = api.Edit(t.Context(), api.NewResource(text, api.WithEditPolicy(api.EditPolicy{Unconditional: true})), func(*string) error { return nil })
	require.ErrorIs(t, err, parley.ErrDecoding)
	refusing := resourceSession(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusConflict)
			return
		}
		serveJSON(w, "1")
	}, api.WithEditPolicy(api.EditPolicy{Unconditional: true}))
	_, err = api.Edit(t.Context(), api.NewResource(refusing), func(*int) error { return nil })
	var status *parley.StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, http.StatusConflict, status.StatusCode)
}

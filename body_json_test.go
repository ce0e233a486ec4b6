package parley_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// shouting encodes as the default does, in capitals.
func shouting(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return []byte(strings.ToUpper(string(b))), err
}

func TestWithJSONEncoder_encodesAllThatBecomesJSON(t *testing.T) {
	t.Parallel()
	own := parley.WithJSONEncoder(shouting)
	for name, test := range map[string]struct {
		session []parley.ClientOption
		call    []parley.RequestOption
		want    string
	}{
		"by default":                  {nil, nil, `"<a>"`},
		"the session's":               {[]parley.ClientOption{own}, nil, `"\U003CA\U003E"`},
		"the request's":               {nil, []parley.RequestOption{own}, `"\U003CA\U003E"`},
		"the request's over the rest": {[]parley.ClientOption{parley.WithJSONEncoder(json.Marshal)}, []parley.RequestOption{own}, `"\U003CA\U003E"`},
		"taken back":                  {[]parley.ClientOption{own}, []parley.RequestOption{parley.WithJSONEncoder(nil)}, `"<a>"`},
	} {
		for _, last := range []bool{true, false} { // the order of options is of no matter
			s := wiretest.Serve(t, wiretest.Echo())
			c := sessionTo(t, s, append([]parley.ClientOption{bare}, test.session...)...)
			opts := append([]parley.RequestOption{}, test.call...)
			if body := parley.WithJSON("<a>"); last {
				opts = append(opts, body)
			} else {
				opts = append([]parley.RequestOption{body}, opts...)
			}
			_, err := c.Post(t.Context(), "up", opts...)
			require.NoError(t, err, name)
			require.Equal(t, fmt.Sprintf("POST /up HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
				s.Addr(), len(test.want), test.want), s.Text(), name)
		}
	}
}

func TestWithJSONEncoder_encodesFieldsOfForms(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s, parley.WithJSONEncoder(shouting))
	_, err := c.Post(t.Context(), "up", parley.WithMultipart(parley.FormJSON("f", "value")))
	require.NoError(t, err)
	require.Contains(t, s.Text(), "Content-Type: application/json\r\n\r\n\"VALUE\"\r\n")
}

func TestWithJSONEncoder_holdsForARequestThatWasMadeFirst(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithJSONEncoder(shouting))
	req, err := c.NewRequest("POST", "x", parley.WithJSON("a"))
	require.NoError(t, err)
	require.EqualValues(t, len(`"A"`), req.Body.Size())
	again, err := req.With(parley.WithJSON("b"))
	require.NoError(t, err)
	r, err := again.Body.Open()
	require.NoError(t, err)
	b := make([]byte, 3)
	_, err = r.Read(b)
	require.NoError(t, err)
	require.Equal(t, `"B"`, string(b))
}

func TestWithJSON_aValueThatCannotBeEncodedNamesItsType(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	why := errors.New("not today")
	type account struct{ Balance float64 }
	_, err := c.Post(t.Context(), "up", parley.WithJSON(account{math.NaN()}))
	require.ErrorContains(t, err, "encode parley_test.account as JSON")
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	_, err = c.Post(t.Context(), "up", parley.WithJSON(account{}), parley.WithJSONEncoder(func(any) ([]byte, error) { return nil, why }))
	require.ErrorIs(t, err, why)
	require.ErrorContains(t, err, "parley_test.account")
	_, err = c.Post(t.Context(), "up", parley.WithMultipart(parley.FormJSON("f", make(chan int))))
	require.ErrorContains(t, err, "encode chan int as JSON")
	_, err = parley.JSONBody(make(chan int))
	require.ErrorContains(t, err, "encode chan int as JSON")
	require.Zero(t, s.Accepted())
}

// A value that was replaced by another body need not be encoded.
func TestWithJSON_isEncodedOnlyIfItIsSent(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	_, err := sessionTo(t, s).Post(t.Context(), "up", parley.WithJSON(make(chan int)), parley.WithText("instead"))
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(s.Text(), "\r\n\r\ninstead"))
}

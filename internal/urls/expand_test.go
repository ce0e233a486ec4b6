package urls

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExpand(t *testing.T) {
	tests := []struct {
		name, ref string
		values    []Param
		want      string
		used      []string
	}{
		{"a segment", "users/{user}", params("user=ada"), "users/ada", []string{"user"}},
		{"two segments", "/{a}/x/{b}/", params("a=1", "b=2"), "/1/x/2/", []string{"a", "b"}},
		{"a part of a segment", "v{n}.json", params("n=2"), "v2.json", []string{"n"}},
		{"two in a segment", "{a}-{b}", params("a=1", "b=2"), "1-2", []string{"a", "b"}},
		{"one twice", "{a}/{a}", params("a=1"), "1/1", []string{"a"}},
		{"the last value counts", "{a}", params("a=1", "a=2"), "2", []string{"a"}},
		{"an unused value", "{a}", params("a=1", "b=2"), "1", []string{"a"}},
		{"no placeholder", "users", params("a=1"), "users", nil},
		{"no values", "users/{a}/{", nil, "users/{a}/{", nil},
		{"a slash is encoded", "{a}/x", params("a=b/c"), "b%2Fc/x", []string{"a"}},
		{"a percent sign is encoded", "{a}", params("a=%2e%2e"), "%252e%252e", []string{"a"}},
		{"spaces and other scripts are encoded", "{a}", params("a=b é"), "b%20%C3%A9", []string{"a"}},
		{"reserved characters are encoded", "x/{a}", params("a=?#;=:@&+"), "x/%3F%23%3B%3D%3A%40%26%2B", []string{"a"}},
		{"unreserved characters stay", "{a}", params("a=aZ0-._~"), "aZ0-._~", []string{"a"}},
		{"braces of a value are encoded", "{a}", params("a={a}"), "%7Ba%7D", []string{"a"}},
		{"three dots are a name", "{a}", params("a=..."), "...", []string{"a"}},
		{"dots beside others", "x{a}/{b}y", params("a=..", "b=."), "x../.y", []string{"a", "b"}},
		{"braces in the query stay", "{a}?q={a}&r={b", params("a=1"), "1?q={a}&r={b", []string{"a"}},
		{"braces in the fragment stay", "{a}#{b}", params("a=1"), "1#{b}", []string{"a"}},
		{"an absolute URL", "http://a.test/{a}?{b}", params("a=1"), "http://a.test/1?{b}", []string{"a"}},
		{"braces in the host stay", "http://{a}.test/{a}", params("a=1"), "http://{a}.test/1", []string{"a"}},
		{"braces in the host without a path stay", "http://{a}.test?{a}", params("a=1"), "http://{a}.test?{a}", nil},
		{"braces after two slashes stay", "//{a}/{a}", params("a=1"), "//{a}/1", []string{"a"}},
		{"a colon after a slash", "/{a}:run", params("a=1"), "/1:run", []string{"a"}},
		{"escapes of the reference stay", "%2f%zz/{a}", params("a=1"), "%2f%zz/1", []string{"a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, used, err := Expand(test.ref, test.values)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			require.Equal(t, test.used, used)
		})
	}
}

func TestExpandRefuses(t *testing.T) {
	tests := []struct {
		name, ref string
		values    []Param
	}{
		{"a placeholder without value", "{a}/{b}", params("a=1")},
		{"an empty value", "{a}", params("a=")},
		{"a dot", "{a}", params("a=.")},
		{"two dots", "x/{a}/y", params("a=..")},
		{"a dot that completes two", "x/.{a}", params("a=.")},
		{"a dot that completes an encoded one", "x/%2e{a}", params("a=.")},
		{"dots of two values", "{a}{b}", params("a=.", "b=.")},
		{"an opening brace alone", "{a", params("a=1")},
		{"a closing brace alone", "a}", params("a=1")},
		{"a closing brace after another", "{a}}", params("a=1")},
		{"a brace inside", "{{a}}", params("a=1")},
		{"no name", "{}", params("a=1")},
		{"a placeholder over two segments", "{a/b}", params("a/b=1")},
		{"a value that completes a scheme", "{a}://b.test/", params("a=http")},
		{"a value that completes an address", "{a}:80/x", params("a=b.test")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, used, err := Expand(test.ref, test.values)
			var invalid *Error
			require.ErrorAs(t, err, &invalid)
			require.Empty(t, got)
			require.Nil(t, used)
		})
	}
}

func TestExpandMany(t *testing.T) {
	var ref strings.Builder
	var values []Param
	for i := range 20000 {
		fmt.Fprintf(&ref, "/{n%d}", i)
		values = append(values, Param{fmt.Sprint("n", i), "old"}, Param{fmt.Sprint("n", i), "v"})
	}
	got, used, err := Expand(ref.String(), values)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("/v", 20000), got)
	require.Len(t, used, 20000)
	_, _, err = Expand(ref.String()+"/{missing}", values)
	require.ErrorAs(t, err, new(*Error))
}

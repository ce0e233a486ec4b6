package urls

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// params makes a list of "key=value" texts.
func params(pairs ...string) []Param {
	var list []Param
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		list = append(list, Param{key, value})
	}
	return list
}

func TestAppendQuery(t *testing.T) {
	tests := []struct {
		name, raw string
		params    []Param
		want      string
	}{
		{"to nothing", "", params("a=1", "b=2"), "a=1&b=2"},
		{"order is kept", "", params("z=1", "a=2", "z=3"), "z=1&a=2&z=3"},
		{"no parameters", "a=1&", nil, "a=1&"},
		{"to a query", "a=1", params("b=2"), "a=1&b=2"},
		{"what is written stays", "a=%2F%26+%20&&b&=c", params("d=e"), "a=%2F%26+%20&&b&=c&d=e"},
		{"a last ampersand serves", "a=1&", params("b=2"), "a=1&b=2"},
		{"the same key again", "a=1", params("a=2"), "a=1&a=2"},
		{"empty key and value", "", params("=", "a="), "=&a="},
		{"spaces", "", params("a b=c d"), "a+b=c+d"},
		{"plus signs", "", params("a+b=c+d"), "a%2Bb=c%2Bd"},
		{"percent signs", "", params("a=100%", "b=%20"), "a=100%25&b=%2520"},
		{"quotes and brackets", "", params("k=\"<>\\^`{|}"), "k=%22%3C%3E%5C%5E%60%7B%7C%7D"},
		{"keys with brackets", "", params("a[]=1", "b[c]=2", "d.e=3", "f:g=4", "h/i=5"), "a%5B%5D=1&b%5Bc%5D=2&d.e=3&f%3Ag=4&h%2Fi=5"},
		{"a URL as value", "", params("u=http://x.test/a?b=c&d"), "u=http%3A%2F%2Fx.test%2Fa%3Fb%3Dc%26d"},
		{"other scripts", "", []Param{{"é", "ü中😀"}}, "%C3%A9=%C3%BC%E4%B8%AD%F0%9F%98%80"},
		{"control bytes", "", params("k=a\r\nb\tc\x00d"), "k=a%0D%0Ab%09c%00d"},
		{"unreserved characters", "", params("k=aZ09-._~"), "k=aZ09-._~"},
		{"a number sign", "", params("k=#x"), "k=%23x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, AppendQuery(test.raw, test.params, Plus))
		})
	}
	require.Equal(t, "a%20b=c%20d%2B", AppendQuery("", params("a b=c d+"), Percent))
}

func TestMergeParams(t *testing.T) {
	tests := []struct {
		name                   string
		session, request, want []Param
	}{
		{"nothing", nil, nil, nil},
		{"session alone", params("a=1"), nil, params("a=1")},
		{"request alone", nil, params("a=1"), params("a=1")},
		{"different keys", params("a=1"), params("b=2"), params("a=1", "b=2")},
		{"the request's value wins", params("a=1", "b=x"), params("b=2"), params("a=1", "b=2")},
		{"in the session's position", params("a=1", "b=2", "c=3"), params("d=4", "b=9"), params("a=1", "b=9", "c=3", "d=4")},
		{"a list is replaced whole", params("a=1", "a=2"), params("a=9"), params("a=9")},
		{"a list replaces one", params("a=1", "b=5"), params("a=3", "a=4"), params("a=3", "a=4", "b=5")},
		{"lists replace lists", params("a=1", "b=5", "a=2"), params("c=1", "a=3", "a=4"), params("a=3", "a=4", "b=5", "c=1")},
		{"the same keys in another order", params("a=1", "b=2"), params("b=3", "a=4"), params("a=4", "b=3")},
		{"keys are told by case", params("A=1"), params("a=2"), params("A=1", "a=2")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			session, request := fmt.Sprint(test.session), fmt.Sprint(test.request)
			require.Equal(t, test.want, MergeParams(test.session, test.request))
			require.Equal(t, session, fmt.Sprint(test.session))
			require.Equal(t, request, fmt.Sprint(test.request))
			if len(test.session) > 0 && len(test.request) > 0 {
				require.Equal(t, test.want, mergeMany(test.session, test.request))
			}
		})
	}
}

func TestMergeParamsMany(t *testing.T) {
	var session, request []Param
	for i := range 30000 {
		session = append(session, Param{fmt.Sprint("s", i%20000), "1"})
		request = append(request, Param{fmt.Sprint("s", i), "2"})
	}
	merged := MergeParams(session, request)
	require.Len(t, merged, 30000)
	require.Equal(t, Param{"s0", "2"}, merged[0])
}

func TestHasKey(t *testing.T) {
	tests := []struct {
		raw, key string
		want     bool
	}{
		{"", "", false}, {"", "a", false}, {"a", "a", true}, {"a=1", "a", true}, {"b=1&a=1", "a", true}, {"ab=1", "a", false},
		{"a=1", "ab", false}, {"b=a", "a", false}, {"a+b=1", "a b", true}, {"a%20b=1", "a b", true}, {"a%2Bb=1", "a+b", true},
		{"%61=1", "a", true}, {"%C3%A9=1", "é", true}, {"a%zz=1", "a%zz", true}, {"a%=1", "a%", true}, {"=1", "", true}, {"&&", "", false},
		{"a=1&", "", false}, {"a[]=1", "a[]", true}, {"A=1", "a", false},
	}
	for _, test := range tests {
		require.Equal(t, test.want, HasKey(test.raw, test.key), "%q %q", test.raw, test.key)
	}
}

func TestRemoveKeys(t *testing.T) {
	many := make([]string, 20)
	for i := range many {
		many[i] = fmt.Sprint("k", i)
	}
	tests := []struct {
		name, raw string
		keys      []string
		want      string
	}{
		{"nothing", "", []string{"a"}, ""},
		{"no keys", "a=1&&b", nil, "a=1&&b"},
		{"another key", "a=1&&b&", []string{"c"}, "a=1&&b&"},
		{"the only one", "a=1", []string{"a"}, ""},
		{"the first", "a=1&b=%2f", []string{"a"}, "b=%2f"},
		{"the last", "b=+&a=1", []string{"a"}, "b=+"},
		{"the middle", "b&a=1&c", []string{"a"}, "b&c"},
		{"all of a key", "a=1&b=2&a=3&c&a", []string{"a"}, "b=2&c"},
		{"several keys", "a=1&b=2&c=3", []string{"a", "c"}, "b=2"},
		{"all", "a=1&b=2", []string{"b", "a"}, ""},
		{"a key without value", "flag&b", []string{"flag"}, "b"},
		{"an encoded key", "a%20b=1&c", []string{"a b"}, "c"},
		{"empty parts stay", "&a=1&&b&", []string{"a"}, "&&b&"},
		{"an empty part before", "&a=1", []string{"a"}, ""},
		{"the empty key", "=1&b", []string{""}, "b"},
		{"many keys", "k1=1&x=1&k19&k20=%6b", many, "x=1&k20=%6b"},
		{"many keys, encoded", "k%31=1&x", many, "x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, RemoveKeys(test.raw, test.keys...))
		})
	}
}

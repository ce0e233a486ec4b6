package cookies

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseDate(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for name, text := range map[string]string{
		"RFC 9110":                         "Sun, 06 Nov 1994 08:49:37 GMT",
		"RFC 850":                          "Sunday, 06-Nov-94 08:49:37 GMT",
		"asctime":                          "Sun Nov  6 08:49:37 1994",
		"any order":                        "08:49:37 1994 nov 6",
		"a name that begins with a month":  "6 NOVEMBERISH 1994 08:49:37",
		"one digit each":                   "6 Nov 1994 8:49:37",
		"text after the numbers":           "6th Nov 1994AD 08:49:37Z",
		"any delimiters":                   "\t6/Nov\\1994~@[08:49:37]",
		"no zone means UTC, as does any":   "Sun, 06 Nov 1994 08:49:37 +0500",
		"what comes again does not count":  "6 Nov 1994 08:49:37 7 Dec 1995 09:00:00",
		"a number too long for a day":      "1994 Nov 6 08:49:37",
		"control bytes are part of tokens": "\x01\x02 6 Nov 1994 08:49:37",
	} {
		got, ok := ParseDate(text)
		require.True(t, ok, name)
		require.Equal(t, want, got, name)
	}
	for text, year := range map[string]int{
		"1 Jan 69 0:0:0": 2069, "1 Jan 70 0:0:0": 1970, "1 Jan 99 0:0:0": 1999, "1 Jan 00 0:0:0": 2000,
		"1 Jan 1601 0:0:0": 1601, "29 Feb 2024 0:0:0": 2024,
	} {
		got, ok := ParseDate(text)
		require.True(t, ok, text)
		require.Equal(t, year, got.Year(), text)
	}
	for name, text := range map[string]string{
		"nothing":              "",
		"no time":              "6 Nov 1994",
		"no day":               "Nov 1994 08:49:37",
		"no month":             "6 1994 08:49:37",
		"no year":              "6 Nov 08:49:37",
		"day 0":                "0 Nov 1994 08:49:37",
		"day 31 of 30":         "31 Nov 1994 08:49:37",
		"29 February, no leap": "29 Feb 2023 08:49:37",
		"hour 24":              "6 Nov 1994 24:49:37",
		"minute 60":            "6 Nov 1994 08:60:37",
		"second 60":            "6 Nov 1994 08:49:60",
		"year 1600":            "6 Nov 1600 08:49:37",
		"five digits of year":  "6 Nov 19940 08:49:37",
		"three digits of hour": "6 Nov 1994 008:49:37",
		"two fields of time":   "6 Nov 1994 08:49",
		"long":                 strings.Repeat(" 1", 1<<15),
	} {
		_, ok := ParseDate(text)
		require.False(t, ok, name)
	}
}

func FuzzParseDate(f *testing.F) {
	for _, seed := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "8:4:3 1 jan 00", "::: 1 2 3",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ParseDate(s)
		if !ok {
			return
		}
		again, ok := ParseDate(got.Format(time.RFC1123))
		require.True(t, ok)
		require.Equal(t, got, again)
	})
}

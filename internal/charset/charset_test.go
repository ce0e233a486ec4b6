package charset

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/htmlindex"
)

// encoded writes text in a charset of the Encoding Standard.
func encoded(t testing.TB, label, text string) string {
	t.Helper()
	enc, err := htmlindex.Get(label)
	require.NoError(t, err)
	out, err := enc.NewEncoder().String(text)
	require.NoError(t, err)
	return out
}

// wide writes Latin-1 with zeros before and after each byte.
func wide(text string, before, after int) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteString(strings.Repeat("\x00", before) + string([]byte{byte(r)}) + strings.Repeat("\x00", after))
	}
	return b.String()
}

func TestLookup_knowsTheNamesOfTheStandardAndUTF32(t *testing.T) {
	t.Parallel()
	for label, name := range map[string]string{
		"utf-8": "utf-8", "UTF8": "utf-8", " utf-8\t": "utf-8", "unicode-1-1-utf-8": "utf-8",
		"iso-8859-1": "windows-1252", "Latin1": "windows-1252", "gb2312": "gbk", "GBK": "gbk", "gb18030": "gb18030",
		"Shift-JIS": "shift_jis", "cp1251": "windows-1251", "koi8-r": "koi8-r", "utf-16": "utf-16le", "utf-16be": "utf-16be",
		"UTF-32": "utf-32le", "utf-32be": "utf-32be",
	} {
		c, ok := Lookup(label)
		require.True(t, ok, label)
		require.Equal(t, name, c.Name(), label)
	}
	for _, label := range []string{
		"", "foo", "utf-7", "hz-gb-2312", "iso-2022-kr", "replacement", "base64", "utf_8", "none", strings.Repeat("a", 1<<20), "\x00", "é",
	} {
		c, ok := Lookup(label)
		require.False(t, ok, "%.20q", label)
		require.Equal(t, "utf-8", c.Name(), "the zero value")
	}
}

func TestDecode_replacesWhatTheCharsetDoesNotHave(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ charset, content, want string }{
		"UTF-8":                          {"utf-8", "café", "café"},
		"its mark":                       {"utf-8", "\xef\xbb\xbfcafé", "café"},
		"only one mark":                  {"utf-8", "\xef\xbb\xbf\xef\xbb\xbfa", "\ufeffa"},
		"bytes of no character":          {"utf-8", "a\xffb\xfe", "a\ufffdb\ufffd"},
		"a character cut short is one":   {"utf-8", "a\xe4\xb8", "a\ufffd"},
		"overlong forms and surrogates":  {"utf-8", "\xc0\xaf|\xed\xa0\x80", "\ufffd\ufffd|\ufffd\ufffd\ufffd"},
		"UTF-16":                         {"utf-16le", wide("café", 0, 1), "café"},
		"UTF-16 with its mark":           {"utf-16be", "\xfe\xff" + wide("café", 1, 0), "café"},
		"UTF-16 with half a character":   {"utf-16le", "a\x00b", "a\ufffd"},
		"UTF-16 with half a pair":        {"utf-16be", "\xd8\x00\x00a", "\ufffda"},
		"UTF-32":                         {"utf-32", wide("café", 0, 3), "café"},
		"UTF-32 beyond Unicode":          {"utf-32be", "\x00\x11\x00\x00\x00\x00\x00a", "\ufffda"},
		"Western":                        {"iso-8859-1", "\x93caf\xe9\x94 \x80", "“café” €"},
		"Chinese, beyond the name":       {"gb2312", "\xe9F\x86\xb4", "镕喆"},
		"Japanese by escape sequences":   {"iso-2022-jp", "\x1b$B$3$l\x1b(B.", "これ."},
		"a lead byte without its second": {"shift_jis", "a\x82", "a\ufffd"},
		"nothing":                        {"gbk", "", ""},
	} {
		c, ok := Lookup(test.charset)
		require.True(t, ok, name)
		require.Equal(t, test.want, c.Decode([]byte(test.content)), name)
	}
}

func TestFind_goesByMarkThenNameThenTheTextsOwnWordThenItsBytes(t *testing.T) {
	t.Parallel()
	const meta = `<html><META http-equiv="Content-Type" content="text/html; charset=koi8-r">`
	const declaration = "<?xml version='1.0' encoding = 'ISO-8859-15' ?><a/>"
	for name, test := range map[string]struct {
		content  string
		kind     Kind
		declared string
		want     string
	}{
		"a mark before a name":                  {"\xef\xbb\xbfa", Plain, "iso-8859-1", "utf-8"},
		"a mark before a name, UTF-16":          {"\xff\xfea\x00", XML, "utf-8", "utf-16le"},
		"a mark of four bytes":                  {"\xff\xfe\x00\x00a\x00\x00\x00", Plain, "", "utf-32le"},
		"a mark, the other way round":           {"\x00\x00\xfe\xff\x00\x00\x00a", Plain, "", "utf-32be"},
		"half a mark is none":                   {"\xef\xbb", Plain, "", "windows-1252"},
		"a name before a meta tag":              {meta, HTML, "gbk", "gbk"},
		"a meta tag":                            {meta, HTML, "", "koi8-r"},
		"a meta tag where the name is unknown":  {meta, HTML, "foo", "koi8-r"},
		"a short meta tag":                      {`<meta charset=euc-kr>`, HTML, "", "euc-kr"},
		"a meta tag of the usual charset":       {`<meta charset=latin1>` + "\xc3\xa9", HTML, "", "windows-1252"},
		"a meta tag of UTF-8":                   {`<meta charset=utf-8>` + "\xe9", HTML, "", "utf-8"},
		"a meta tag that cannot be true":        {`<meta charset=utf-16>é`, HTML, "", "utf-8"},
		"a meta tag in a comment":               {`<!-- <meta charset=gbk> -->é`, HTML, "", "utf-8"},
		"a meta tag too far down":               {strings.Repeat(" ", 1100) + meta, HTML, "", "utf-8"},
		"HTML without a meta tag":               {"<p>charset=gbk é", HTML, "", "utf-8"},
		"a meta tag in what is no HTML":         {meta, Plain, "", "utf-8"},
		"an XML declaration":                    {declaration, XML, "", "iso-8859-15"},
		"an XML declaration that is not closed": {`<?xml encoding="gbk"`, XML, "", "utf-8"},
		"an XML declaration without a value":    {`<?xml encoding=gbk?>`, XML, "", "utf-8"},
		"an XML declaration of UTF-16":          {`<?xml encoding="utf-16"?>`, XML, "", "utf-8"},
		"an XML declaration of ASCII":           {`<?xml encoding="us-ascii"?>é`, XML, "", "utf-8"},
		"XML without one":                       {"<a>é</a>", XML, "", "utf-8"},
		"XML without one is never guessed":      {"<a>\xe9</a>", XML, "", "utf-8"},
		"the rule of a style sheet":             {`@charset "gbk"; a{}`, CSS, "", "gbk"},
		"a rule that is not the first thing":    {` @charset "gbk"; a{}`, CSS, "", "utf-8"},
		"ASCII says nothing of other bytes":     {"é", Plain, "us-ascii", "utf-8"},
		"ASCII, with Western bytes":             {"caf\xe9", Plain, "ASCII", "windows-1252"},
		"JSON":                                  {`{"é":1}`, JSON, "", "utf-8"},
		"JSON as it used to be":                 {wide(`{"k":1}`, 1, 0), JSON, "", "utf-16be"},
		"JSON as it used to be, reversed":       {wide(`[1]`, 0, 1), JSON, "utf-8", "utf-16le"},
		"JSON in UTF-32":                        {wide(`[1]`, 3, 0), JSON, "", "utf-32be"},
		"JSON in UTF-32, reversed":              {wide(`[1]`, 0, 3), JSON, "", "utf-32le"},
		"JSON is never guessed":                 {`{"k":"caf` + "\xe9\"}", JSON, "", "utf-8"},
		"JSON that is not UTF-8, with a name":   {`{"k":"` + "\xd6\xd0\"}", JSON, "gbk", "gbk"},
		"JSON that is UTF-8 under another name": {`{"k":"中"}`, JSON, "iso-8859-1", "utf-8"},
		"JSON in escape sequences":              {"[\"\x1b$B$3\x1b(B\"]", JSON, "iso-2022-jp", "iso-2022-jp"},
		"JSON with an unknown name":             {"\"\xe9\"", JSON, "foo", "utf-8"},
		"UTF-16 by its zeros":                   {wide("café naïve", 0, 1), Plain, "", "utf-16le"},
		"UTF-16 by its zeros, ASCII":            {wide("plain text", 1, 0), Plain, "", "utf-16be"},
		"UTF-32 by its zeros":                   {wide("plain text", 0, 3), Plain, "", "utf-32le"},
		"UTF-32 by its zeros, the other way":    {wide("plain text", 3, 0), Plain, "", "utf-32be"},
		"zeros here and there":                  {"a\x00bcdefghijk", Plain, "", "utf-8"},
		"nothing":                               {"", Plain, "", "utf-8"},
	} {
		require.Equal(t, test.want, Find([]byte(test.content), test.kind, test.declared).Name(), name)
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	for media, want := range map[string]Kind{
		"application/json": JSON, "TEXT/JSON": JSON, "application/problem+JSON": JSON, "text/html": HTML, "Text/XML": XML,
		"application/xml": XML, "application/xhtml+xml": XML, "text/css": CSS, "text/plain": Plain, "": Plain, "json": Plain, "+json": JSON,
	} {
		require.Equal(t, want, KindOf(media), media)
	}
}

func TestOfType(t *testing.T) { // counts allocations, hence not in parallel
	for contentType, want := range map[string][2]string{
		"": {}, ";": {}, "text/plain": {"text/plain", ""}, " Text/Plain ; charset=utf-8": {"Text/Plain", "utf-8"},
		"a/b;charset=x;charset=y": {"a/b", "x"}, `a/b; CHARSET = "x" ; c=d`: {"a/b", "x"}, "a/b; charset='x'": {"a/b", "x"},
		"a/b; charset": {"a/b", ""}, "a/b; charset=": {"a/b", ""}, `a/b; charset=""`: {"a/b", ""}, "charset=x": {"charset=x", ""},
		"a/b, charset=x": {"a/b, charset=x", ""}, `a/b; c="; charset=x"; charset=y`: {"a/b", "y"}, `a/b; c="\"; charset=x"; charset=y`: {"a/b", "y"},
		`a/b; c="d`: {"a/b", ""}, `a/b; c="d\`: {"a/b", ""}, `a/b; charset="x`: {"a/b", "x"}, "a/b;;;charset=x": {"a/b", "x"},
		"a/b; mycharset=x; charset=y": {"a/b", "y"}, "a/b; c; charset=y": {"a/b", "y"}, "a/b; c=d e; charset=y": {"a/b", "y"},
	} {
		media, charset := OfType(contentType)
		require.Equal(t, want, [2]string{media, charset}, contentType)
	}
	require.Zero(t, testing.AllocsPerRun(10, func() { OfType(`text/html; q="a"; charset="utf-8"`) }))
}

// samples are texts by their charset.
var samples = map[string][]string{
	"windows-1251": {
		"Это русский текст для проверки кодировки.",
		"Все люди рождаются свободными и равными в своем достоинстве и правах.",
		"Всички хора се раждат свободни и равни по достойнство и права.",
	},
	"koi8-r": {
		"Это русский текст для проверки кодировки.",
		"Все люди рождаются свободными и равными в своем достоинстве и правах.",
	},
	"gbk": {
		"中文网页编码测试，这是一个简单的例子。",
		"人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
	},
	"big5": {
		"中文網頁編碼中文網頁編碼",
		"人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相對待。",
	},
	"shift_jis": {
		"これは日本語のテキストです。文字コードのテスト。",
		"すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
	},
	"euc-jp": {
		"これは日本語のテキストです。文字コードのテスト。",
		"すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
	},
	"euc-kr": {
		"한국어 문장입니다. 인코딩 테스트.",
		"모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
	},
	"windows-1252": {
		"café naïve über", "“quoted” €100", "É", "ÄÖÜ ÄÖÜ ÄÖÜ ÄÖÜ", "Ärzte übten größere Änderungen, Überprüfung für Öl",
		"DÜSSELDORF ÄRZTE GRÖSSE ÜBUNG MÜNCHEN KÖLN FÜR ÖL STRASSE",
		"Tous les êtres humains naissent libres et égaux en dignité et en droits, doués de raison et de conscience.",
		"Todos los seres humanos nacen libres, dotados como están de razón y conciencia. ¿Qué? ¡Añó! Ñandú, pingüino",
		"Alla människor är födda fria och lika i värde och rättigheter. Åäö åäö", "Œuvre – naïf… ‘x’ • † ‰ ™", "°±²³ µ¶· ¼½¾ §",
	},
}

func TestGuess_knowsOrdinaryTexts(t *testing.T) {
	t.Parallel()
	for name, texts := range samples {
		for _, text := range texts {
			for _, before := range []string{"", "Title: ", strings.Repeat("ascii line\n", 2000)} {
				content := before + encoded(t, name, text)
				found := Find([]byte(content), Plain, "")
				require.Equal(t, name, found.Name(), text)
				require.Equal(t, before+text, found.Decode([]byte(content)), text)
			}
			// However it is cut off, it is never taken for one of the others.
			whole := encoded(t, name, text)
			for cut := range len(whole) {
				require.Contains(t, []string{name, "windows-1252", "utf-8"}, Find([]byte(whole[:cut]), Plain, "").Name(), "%d of %s", cut, text)
			}
		}
	}
}

func TestGuess_isNotMadeWhereItWouldBeWrong(t *testing.T) {
	t.Parallel()
	for text, label := range map[string]string{
		"Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.": "windows-1253",
		"כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.":                               "windows-1255",
		"يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.":                                  "windows-1256",
		"Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.":                    "windows-1254",
		"Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.":                "windows-1250",
		"มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ":                     "windows-874",
	} {
		require.Equal(t, "windows-1252", Find([]byte(encoded(t, label, text)), Plain, "").Name(), text)
	}
	for name, test := range map[string]struct{ content, want string }{
		"no text at all":               {"\x89PNG\r\n\x1a\n\x00\x01\x02", "utf-8"},
		"one bad byte in UTF-8":        {strings.Repeat("naïve café ", 20) + "\xff", "utf-8"},
		"UTF-8 cut short":              {"naïve café 中"[:len("naïve café 中")-1], "utf-8"},
		"UTF-8 that the sample cuts":   {strings.Repeat("é", 511) + "a" + strings.Repeat("é", 511) + "\xff", "utf-8"},
		"a few bytes of anything":      {"\xb0\xa1\xb0\xa2", "windows-1252"},
		"one character again and over": {strings.Repeat("\xff", 2000), "windows-1252"},
	} {
		require.Equal(t, test.want, Find([]byte(test.content), Plain, "").Name(), name)
	}
}

func FuzzFind(f *testing.F) {
	for name, texts := range samples {
		for _, text := range texts[:1] {
			f.Add(encoded(f, name, text), "", byte(Plain))
			f.Add(encoded(f, name, text), name, byte(JSON))
		}
	}
	f.Add("<?xml encoding='gbk'?>\xff", "x", byte(XML))
	f.Add("<meta charset=gbk>\xff", "", byte(HTML))
	f.Add(`@charset "gbk";`, "", byte(CSS))
	f.Add("\xff\xfe\x00\xd8", "utf-32", byte(Plain))
	f.Fuzz(func(t *testing.T, content, declared string, kind byte) {
		c := Find([]byte(content), Kind(kind%5), declared)
		again, ok := Lookup(c.Name())
		require.True(t, ok, c.Name())
		require.Equal(t, c.Name(), again.Name())
		text := c.Decode([]byte(content))
		require.True(t, utf8.ValidString(text))
		require.LessOrEqual(t, len(text), 3*len(content))
		if declared == "" && kind%5 == byte(Plain) && utf8.ValidString(content) && !strings.ContainsAny(content, "\ufeff\x00") {
			require.Equal(t, content, text)
		}
	})
}

package golden

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRandomBoundariesAreLevelled(t *testing.T) {
	const own, random = "multipart/form-data; boundary=", "fedcba9876543210fedcba9876543210"
	sent := func(typ, boundary string) []Sent {
		return []Sent{{Headers: [][2]string{{"X-Id", random}, {"content-type", typ}}, Body: []byte("--" + boundary + "\r\n\r\n" + random + "\r\n--" + boundary + "--\r\n")}}
	}
	require.Equal(t, sent(own+recordedBoundary, recordedBoundary), LevelBoundaries(sent(own+random, random)))
	require.Equal(t, sent(own+"own", "own"), LevelBoundaries(sent(own+"own", "own")), "the caller's is left")
	require.Equal(t, sent("text/plain", random), LevelBoundaries(sent("text/plain", random)))
}

func TestFilesOfACase(t *testing.T) {
	c, err := decodeCase("bodies", []byte(`{"id": "x", "seen": {"httpx": {}}, "request": {"files": [["f", {"filename": null, "content": "é"}],
		["g", {"filename": "a", "content_b64": "AA==", "content_type": "t", "headers": {"X": "y"}}], ["h", {"bare": true}]]}}`))
	require.NoError(t, err)
	require.Equal(t, []File{
		{Field: "f", Content: []byte("é")},
		{Field: "g", FileName: "a", ContentType: "t", Headers: Fields{Given: true, List: []Field{{"X", "y"}}}, Content: []byte{0}},
		{Field: "h", Bare: true},
	}, c.Calls[0].Body.Files)
	_, err = decodeCase("bodies", []byte(`{"id": "x", "seen": {"httpx": {}}, "request": {"files": ["f"]}}`))
	require.Error(t, err)
}

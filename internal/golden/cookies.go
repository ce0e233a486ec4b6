package golden

import (
	"encoding/json"
	"errors"
	"strings"
)

// Cookies are those that a case gives to the session or to a call: by name for whatever host, or each with its place.
type Cookies struct {
	Fields []Field
	Placed []PlacedCookie
}

// PlacedCookie is a cookie for a domain and the names below it.
type PlacedCookie struct{ Name, Value, Domain, Path string }

// UnmarshalJSON reads an object, or a list of objects of which those without a domain are for whatever host.
func (k *Cookies) UnmarshalJSON(data []byte) error {
	*k = Cookies{}
	if !strings.HasPrefix(strings.TrimSpace(string(data)), "[") {
		var fields Fields
		err := fields.UnmarshalJSON(data)
		k.Fields = fields.List
		return err
	}
	var list []PlacedCookie
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	for _, c := range list {
		switch {
		case c.Domain != "":
			k.Placed = append(k.Placed, c)
		case c.Path == "":
			k.Fields = append(k.Fields, Field{c.Name, c.Value})
		default:
			return errors.New("a cookie with a path but without a domain")
		}
	}
	return nil
}

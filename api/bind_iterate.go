package api

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"strings"

	"github.com/seed-0474a412/parley"
)

// bindChunk bounds the pieces of an iterator over []byte.
const bindChunk = 64 << 10

var (
	bindEvent        = reflect.TypeFor[parley.Event]()
	bindResponsePart = reflect.TypeFor[*parley.ResponsePart]()
)

// bindYield takes what an iterator gives; false ends it.
type bindYield func(v reflect.Value, err error) bool

// iterator makes the function one that gives an iterator over items.
func (p *bindPlan) iterator(t, item reflect.Type, format string, path []string) {
	r := &p.fn.result
	r.stream = true
	var each func(f *bindFunc, args []reflect.Value, yield bindYield)
	switch format {
	case "pages", "follow":
		if p.fn.method != "" && p.fn.method != http.MethodGet {
			p.wrong("has the tag result %q, which is for GET, not for %s", format, p.fn.method)
			return
		}
		if each = p.followed(item, format, path); each == nil {
			return
		}
	default:
		walk := p.walker(item, format, path)
		if walk == nil {
			return
		}
		if format == "events" || format == "" && item == bindEvent {
			r.first = append(r.first, parley.WithHeader("Accept", "text/event-stream"))
		}
		each = func(f *bindFunc, args []reflect.Value, yield bindYield) {
			resp, err := f.send(args)
			if err == nil {
				if err = resp.Err(); err != nil {
					resp.Close() // the status is what matters
				}
			}
			if err != nil {
				yield(reflect.Zero(item), err)
				return
			}
			if hasNoContent(resp) {
				resp.Close()
				return
			}
			walk(resp, yield)
		}
	}
	noError := reflect.Zero(bindError)
	r.iterate = func(f *bindFunc, args []reflect.Value) reflect.Value {
		return reflect.MakeFunc(t, func(in []reflect.Value) []reflect.Value {
			each(f, args, func(v reflect.Value, err error) bool {
				failed := noError
				if err != nil {
					failed = reflect.ValueOf(&err).Elem()
				}
				return in[0].Call([]reflect.Value{v, failed})[0].Bool()
			})
			return nil
		})
	}
}

// followed is for iterators that make more than one request.
func (p *bindPlan) followed(item reflect.Type, format string, path []string) func(f *bindFunc, args []reflect.Value, yield bindYield) {
	zero := reflect.Zero(item)
	if format == "follow" {
		if item != bindEvent || path != nil {
			p.wrong("has the tag result:\"follow\", which is for an iter.Seq2[parley.Event, error], not for %s", item)
			return nil
		}
		return func(f *bindFunc, args []reflect.Value, yield bindYield) {
			ref, opts, err := f.prepare(args)
			if err != nil {
				yield(zero, err)
				return
			}
			ctx, _ := args[0].Interface().(context.Context)
			bindRange(f.client.Events(ctx, ref, opts...), yield)
		}
	}
	inner := ""
	if path != nil {
		inner = "json"
	}
	decode := p.decoder(item, inner, path)
	if decode == nil {
		return nil
	}
	return func(f *bindFunc, args []reflect.Value, yield bindYield) {
		ref, opts, err := f.prepare(args)
		if err != nil {
			yield(zero, err)
			return
		}
		ctx, _ := args[0].Interface().(context.Context)
		for resp, err := range f.client.Pages(ctx, ref, opts...) {
			v := zero
			if err == nil {
				v, err = bindAs(resp, item, decode)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// bindRange yields what an iterator of parley gives.
func bindRange[T any](seq iter.Seq2[T, error], yield bindYield) {
	for v, err := range seq {
		if !yield(reflect.ValueOf(&v).Elem(), err) {
			return
		}
	}
}

// walker gives how the body of one answer becomes items; nil if it does not.
func (p *bindPlan) walker(item reflect.Type, format string, path []string) func(resp *parley.Response, yield bindYield) {
	if path != nil && format != "array" {
		p.wrong("has the tag result %q: only an array and pages are looked for within an object (array data.items)", format+" "+strings.Join(path, "."))
		return nil
	}
	fits := true
	switch format {
	case "":
		switch item {
		case bindEvent:
			format = "events"
		case bindResponsePart:
			format = "parts"
		case bindBytes:
			format = "chunks"
		}
	case "lines":
		fits = item == bindString
	case "chunks":
		fits = item == bindBytes
	case "array", "jsonlines", "events":
	default:
		p.wrong("has the tag result %q: array, jsonlines, lines, chunks, events, follow and pages are for iterators", format)
		return nil
	}
	if !fits {
		p.wrong("has the tag result %q, which is not for an iterator over %s: string is for lines, []byte for chunks", format, item)
		return nil
	}
	if format != "parts" && p.decoder(item, "", nil) == nil {
		return nil
	}
	return func(resp *parley.Response, yield bindYield) { bindWalk(resp, item, format, path, yield) }
}

// bindWalk yields the items of an answer, and closes it.
func bindWalk(resp *parley.Response, item reflect.Type, format string, path []string, yield bindYield) {
	if format == "" {
		format = bindStreamOf(resp, item)
	}
	switch format {
	case "array":
		bindEach(resp, parley.JSONArray[json.RawMessage](resp, nil, path...), item, yield)
	case "jsonlines":
		bindEach(resp, parley.JSONLines[json.RawMessage](resp, nil), item, yield)
	case "lines":
		bindRange(resp.Lines(), yield)
	case "chunks":
		bindRange(resp.Chunks(bindChunk), yield)
	case "parts":
		bindRange(resp.Parts(), yield)
	case "events":
		if item == bindEvent {
			bindRange(resp.Events(), yield)
			return
		}
		bindEvents(resp, item, yield)
	default:
		resp.Close() // what it is says that it is of no use
		yield(reflect.Zero(item), answerError("decode", resp, fmt.Errorf("%w: no way to go through %.64q by %s; the tag result names one", parley.ErrDecoding, mediaOf(resp), item)))
	}
}

// bindStreamOf gives the format by the media type of an answer; "" for none.
func bindStreamOf(resp *parley.Response, item reflect.Type) string {
	media := mediaOf(resp)
	switch {
	case isJSONLines(media):
		return "jsonlines"
	case isJSON(media):
		return "array"
	case media == "text/event-stream":
		return "events"
	case item == bindString && (media == "" || strings.HasPrefix(media, "text/")):
		return "lines"
	case media == "":
		return "array"
	}
	return ""
}

// bindEach decodes each of several JSON values.
func bindEach(resp *parley.Response, seq iter.Seq2[json.RawMessage, error], item reflect.Type, yield bindYield) {
	n := -1
	for raw, err := range seq {
		n++
		v := reflect.New(item)
		if err == nil {
			if failed := json.Unmarshal(raw, v.Interface()); failed != nil {
				v, err = reflect.New(item), answerError("decode", resp, fmt.Errorf("%w in element %d: %w", parley.ErrDecoding, n, failed))
			}
		}
		if !yield(v.Elem(), err) {
			return
		}
	}
}

// bindEvents decodes the data of each event.
func bindEvents(resp *parley.Response, item reflect.Type, yield bindYield) {
	for event, err := range resp.Events() {
		v := reflect.New(item)
		switch {
		case err != nil:
		case item == bindString:
			v.Elem().SetString(event.Data)
		default:
			if failed := json.Unmarshal([]byte(event.Data), v.Interface()); failed != nil {
				v, err = reflect.New(item), answerError("decode", resp, fmt.Errorf("%w in the data of an event: %w", parley.ErrDecoding, failed))
			}
		}
		if !yield(v.Elem(), err) {
			return
		}
	}
}

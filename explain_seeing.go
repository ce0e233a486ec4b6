package parley

import "fmt"

// explainSeeing tells who sees the call, where something is said of it.
func (c *Client) explainSeeing(req *Request, add func(name, value string, isDefault bool, same func(*clientConfig) bool)) {
	said := req.sight()
	if said == nil {
		return
	}
	of := func(p *clientConfig) sight {
		if p.conduct.sight == nil {
			return sight{}
		}
		return *p.conduct.sight
	}
	names := [seerKinds]string{logSeer: "Logger", dumpSeer: "Dump", recorderSeer: "Recorder", harSeer: "HAR"}
	for kind, by := range said.seers {
		if by != nil {
			add(names[kind], seerName(by), false, func(p *clientConfig) bool { return of(p).seers[kind] == by })
		}
	}
	if said.id != nil {
		value := "none"
		if said.id.name != "" {
			value = quoteBad(said.id.name, 128)
		}
		add("RequestID", value, false, func(p *clientConfig) bool { return of(p).id == said.id })
	}
	if said.redaction != nil {
		add("Redaction", said.redaction.String(), false, func(p *clientConfig) bool { return of(p).redaction == said.redaction })
	}
}

// seerName tells in short what a seer does.
func seerName(by seer) string {
	switch by := by.(type) {
	case *callLogger:
		return fmt.Sprintf("%T", by.to.Handler())
	case *dumper:
		return fmt.Sprintf("to %T, at most %d bytes of a body", by.w, by.body)
	case recordWatcher:
		return fmt.Sprintf("the last %d calls", by.into.last.size)
	case harWatcher:
		return fmt.Sprintf("at most %d requests, and %d bytes of a body", by.into.cfg.MaxEntries, by.into.cfg.MaxBodyBytes)
	}
	return "none"
}

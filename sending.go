package parley

// sending is how the bodies of requests are made and sent, where something is said of
// it.
type sending struct {
	encode jsonEncoder // nil: the default
	coding string      // of bodies, in lower case; "": not said

	upload, download *func(Progress) // nil: not said
	live             *progress       // of one call; nil: none of a session's
}

func (s *sending) said() bool {
	return s.encode != nil || s.coding != "" || s.upload != nil || s.download != nil
}

// over gives s where it says something, else what was said before it.
func (s sending) over(earlier sending) sending {
	if s.encode == nil {
		s.encode = earlier.encode
	}
	if s.coding == "" {
		s.coding = earlier.coding
	}
	if s.upload == nil {
		s.upload = earlier.upload
	}
	if s.download == nil {
		s.download = earlier.download
	}
	if s.live == nil {
		s.live = earlier.live
	}
	return s
}

// encoder is what encodes JSON; c may be nil.
func (c *conduct) encoder() jsonEncoder {
	if c == nil {
		return nil
	}
	return c.sending.encode
}

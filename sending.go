package parley

// sending is how the bodies of requests are made and sent, where something is said of
// it.
type sending struct {
	encode jsonEncoder // nil: the default
}

func (s *sending) said() bool { return s.encode != nil }

// over gives s where it says something, else what was said before it.
func (s sending) over(earlier sending) sending {
	if s.encode == nil {
		s.encode = earlier.encode
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

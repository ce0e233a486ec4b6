package parley

// explainSending tells how the body of a request is made and sent, where something is
// said of it.
func (c *Client) explainSending(req *Request, add func(name, value string, isDefault bool, same func(*clientConfig) bool)) {
	if req.conduct == nil {
		return
	}
	said := req.conduct.sending
	if said.encode != nil {
		add("JSONEncoder", funcName(said.encode), false, func(p *clientConfig) bool { return sameFunc(p.conduct.sending.encode, said.encode) })
	}
	if said.coding != "" {
		add("Compression", quoteBad(said.coding, 32), false, func(p *clientConfig) bool { return p.conduct.sending.coding == said.coding })
	}
	if said.upload != nil && *said.upload != nil {
		add("UploadProgress", funcName(*said.upload), false, func(p *clientConfig) bool { return p.conduct.sending.upload == said.upload })
	}
	if said.download != nil && *said.download != nil {
		add("DownloadProgress", funcName(*said.download), false, func(p *clientConfig) bool { return p.conduct.sending.download == said.download })
	}
}

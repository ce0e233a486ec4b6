module github.com/seed-0474a412/parley

go 1.26.3

require (
	github.com/andybalholm/brotli v1.2.8
	github.com/google/go-querystring v1.2.0
	github.com/klauspost/compress v1.20.3
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
	golang.org/x/net v0.62.0
	golang.org/x/text v0.43.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

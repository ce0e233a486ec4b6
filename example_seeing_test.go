package parley_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/seed-0474a412/parley"
)

// quiet leaves out of a log what differs from one run to the next.
func quiet(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "duration" {
		return slog.Attr{}
	}
	return a
}

func ExampleWithLogger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: quiet}))
	client, err := parley.New(
		parley.WithBaseURL("http://api.example.com"),
		parley.WithQuery("api_key", "5up3r53cr37"),
		parley.WithLogger(logger),
		parley.WithHandler(http.NotFoundHandler()), // instead of a network
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if _, err := client.Get(context.Background(), "users/1?page=2"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// level=INFO msg="http call" method=GET url="http://api.example.com/users/1?page=2&api_key=[hidden]" status=404 tries=1 reused=false sent=0 received=19 proto=HTTP/1.1
}

func ExampleRequest_Curl() {
	client, err := parley.New(parley.WithBaseURL("https://api.example.com/v1"), parley.WithBearerToken("5up3r53cr37"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	req, err := client.NewRequest("POST", "users", parley.WithJSON(map[string]string{"name": "O'Hara"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	line, err := req.Curl()
	fmt.Println(line, err)
	// Output:
	// curl https://api.example.com/v1/users \
	//   --header 'Accept: */*' \
	//   --header 'Accept-Encoding: gzip, deflate, br, zstd' \
	//   --header 'Authorization: [hidden]' \
	//   --header 'Content-Type: application/json' \
	//   --header 'User-Agent: parley/0.1.0' \
	//   --header Expect: \
	//   --compressed \
	//   --data-raw '{"name":"O'\''Hara"}' <nil>
}

func ExampleParseCurl() {
	req, err := parley.ParseCurl(`curl -X PATCH https://api.example.com/users/1 \
		-H 'Content-Type: application/json' -d '{"name": "Zoe"}'`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(req, req.Header.Get("Content-Type"), req.Body.Size())

	_, err = parley.ParseCurl("curl --netrc https://api.example.com/users")
	fmt.Println(err)
	// Output:
	// <Request PATCH https://api.example.com/users/1> application/json 15
	// curl command: --netrc: not understood
}

func ExampleRecorder() {
	recorder := parley.NewRecorder(50)
	client, err := parley.New(parley.WithRecorder(recorder), parley.WithHandler(http.NotFoundHandler()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if _, err := client.Get(context.Background(), "http://api.example.com/users/7?token=5up3r53cr37"); err != nil {
		fmt.Println(err)
	}
	for _, call := range recorder.Failed() {
		fmt.Println(call.Method, call.URL, call.Status, call.Requests[0].RequestHeader["Accept"])
	}
	// Output:
	// GET http://api.example.com/users/7?token=[hidden] 404 [*/*]
}

func ExampleWithHAR() {
	archive := parley.NewHAR(parley.HARConfig{})
	client, err := parley.New(parley.WithHAR(archive), parley.WithHandler(http.NotFoundHandler()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if _, err := client.Get(context.Background(), "http://api.example.com/"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(archive)
	// archive.Save("calls.har") writes it for the developer tools of a browser.

	// Output:
	// <HAR of 1 requests>
}

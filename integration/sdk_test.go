package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-github/v89/github"
	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

// hub makes go-github's client over a session.
func hub(t *testing.T, c *parley.Client, url string) *github.Client {
	t.Helper()
	url += "/"
	client, err := github.NewClient(github.WithHTTPClient(c.HTTPClient()), github.WithURLs(&url, &url), github.WithUserAgent("kettle"))
	require.NoError(t, err)
	return client
}

func TestGitHub(t *testing.T) { byBoth(t, testGitHub) }

func testGitHub(t *testing.T, by fakes) {
	api := by.start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.Method + " " + r.URL.Path {
		case "GET /repos/o/r":
			fmt.Fprint(w, `{"id": 7, "full_name": "o/r"}`)
		case "POST /repos/o/r/issues":
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"number": 1, "title": "tea"}`)
		default:
			http.Error(w, `{"message": "Not Found"}`, http.StatusNotFound)
		}
	})
	client := hub(t, by.session(t, parley.WithBaseURL(api.URL), parley.WithBearerToken("secret")), api.URL)
	repo, _, err := client.Repositories.Get(t.Context(), "o", "r")
	require.NoError(t, err)
	require.Equal(t, "o/r", repo.GetFullName())
	issue, _, err := client.Issues.Create(t.Context(), "o", "r", &github.IssueRequest{Title: github.Ptr("tea")})
	require.NoError(t, err)
	require.Equal(t, 1, issue.GetNumber())
	_, _, err = client.Repositories.Get(t.Context(), "o", "absent")
	var refused *github.ErrorResponse
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "Not Found", refused.Message)

	got := api.take()
	require.Len(t, got, 3)
	require.Equal(t, seen{"/repos/o/r", "Bearer secret", "", "kettle", ""}, got[0])
	require.JSONEq(t, `{"title": "tea"}`, got[1].Body)
	require.Equal(t, "application/json", got[1].Type)
}

// Some calls of go-github expect a redirect as their answer, and take it from the
// Transport itself or by a CheckRedirect of their own.
func TestGitHubTakesRedirectsItself(t *testing.T) { byBoth(t, testGitHubTakesRedirectsItself) }

func testGitHubTakesRedirectsItself(t *testing.T, by fakes) {
	store := by.start(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "bytes") })
	api := by.start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/repos/o/old/tarball/main" {
			http.Redirect(w, r, "/repos/o/r/tarball/main", http.StatusMovedPermanently)
			return
		}
		http.Redirect(w, r, store.URL+"/signed?key=1", http.StatusFound)
	})
	c := by.session(t, parley.WithBaseURL(api.URL), parley.WithBearerToken("secret"))
	client := hub(t, c, api.URL)

	link, _, err := client.Repositories.GetArchiveLink(t.Context(), "o", "old", github.Tarball, &github.RepositoryContentGetOptions{Ref: "main"}, 1)
	require.NoError(t, err)
	require.Equal(t, store.URL+"/signed?key=1", link.String())
	_, to, err := client.Repositories.DownloadReleaseAsset(t.Context(), "o", "r", 1, nil)
	require.NoError(t, err)
	require.Equal(t, store.URL+"/signed?key=1", to)
	require.Empty(t, store.take(), "nobody has followed")
	for _, got := range api.take() {
		require.Equal(t, "Bearer secret", got.Login, got.Path)
	}

	asset, _, err := client.Repositories.DownloadReleaseAsset(t.Context(), "o", "r", 1, c.HTTPClient())
	require.NoError(t, err)
	text, err := io.ReadAll(asset)
	require.NoError(t, err)
	require.NoError(t, asset.Close())
	require.Equal(t, "bytes", string(text))
	got := store.take()
	require.Len(t, got, 1)
	require.Empty(t, got[0].Login, "the store is another origin")

	// For users of its own CheckRedirect comes back.
	resp, err := client.Client().Get(api.URL + "/users")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, store.URL+"/signed?key=1", resp.Request.URL.String())
}

var aKey = aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "sesame"}

var signedHeaders = regexp.MustCompile(`SignedHeaders=([^,]+)`)

// signature computes what the Authorization of a request must be, from what of it is
// signed: a server that does so notices each change on the way.
func signature(r *http.Request) (string, error) {
	names := signedHeaders.FindStringSubmatch(r.Header.Get("Authorization"))
	if names == nil {
		return "", fmt.Errorf("no signature: %q", r.Header)
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	if err != nil {
		return "", err
	}
	for name := range strings.SplitSeq(names[1], ";") {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "", err
	}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
		SignHTTP(r.Context(), aKey, again, r.Header.Get("X-Amz-Content-Sha256"), "s3", "eu-test-1", at)
	return again.Header.Get("Authorization"), err
}

// bucket is a store that keeps one object, and is busy each first time.
type bucket struct {
	proto   string // by which requests have to come
	object  string
	methods []string
	wrong   []string
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want, err := signature(r)
	if err != nil || want != r.Header.Get("Authorization") {
		b.wrong = append(b.wrong, fmt.Sprintf("%s: %v, signed %q, should be %q", r.Method, err, r.Header.Get("Authorization"), want))
	}
	if r.Proto != b.proto {
		b.wrong = append(b.wrong, "by "+r.Proto)
	}
	b.methods = append(b.methods, r.Method+" "+r.URL.EscapedPath())
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.wrong = append(b.wrong, err.Error())
	}
	switch {
	case len(b.methods)%2 == 1:
		http.Error(w, "<Error><Code>SlowDown</Code></Error>", http.StatusServiceUnavailable)
	case r.Method == http.MethodPut:
		b.object = string(body)
		w.Header().Set("ETag", `"1"`)
	default:
		w.Header().Set("X-Amz-Meta-Kind", "green")
		fmt.Fprint(w, b.object)
	}
}

func TestS3(t *testing.T) {
	tea := content(200_000)
	for name, proto := range map[string]string{"http": "HTTP/1.1", "https": "HTTP/1.1", "https, HTTP/2": "HTTP/2.0"} {
		scheme, _, _ := strings.Cut(name, ",") // by http the whole body is signed, by https it has a checksum at its end
		t.Run(name, func(t *testing.T) {
			authority := wiretest.NewAuthority(t)
			b := &bucket{proto: proto}
			s := httptest.NewUnstartedServer(b)
			if scheme == "https" {
				s.TLS, s.EnableHTTP2 = authority.Server(t), proto == "HTTP/2.0"
				s.StartTLS()
			} else {
				s.Start()
			}
			t.Cleanup(s.Close)
			// A signature is a request's own Authorization and wins over the session's.
			c := session(t, parley.WithTLSConfig(authority.Trusted()), parley.WithBasicAuth(user, password))
			client := s3.New(s3.Options{
				Region: "eu-test-1", BaseEndpoint: aws.String(s.URL), UsePathStyle: true, HTTPClient: c.HTTPClient(),
				Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aKey, nil }),
				Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
					o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
				}),
				RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
			})
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("shop"), Key: aws.String("tea/ä b+c.txt"), Body: strings.NewReader(tea)})
			require.NoError(t, err)
			got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("shop"), Key: aws.String("tea/ä b+c.txt")})
			require.NoError(t, err)
			text, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			require.NoError(t, got.Body.Close())
			require.Contains(t, string(text), tea)
			require.Equal(t, scheme == "http", string(text) == tea, "by https the pieces and the checksum are around it")
			require.Equal(t, "green", got.Metadata["kind"])

			s.Close()
			const path = " /shop/tea/%C3%A4%20b%2Bc.txt"
			require.Empty(t, b.wrong)
			require.Equal(t, []string{"PUT" + path, "PUT" + path, "GET" + path, "GET" + path}, b.methods)
		})
	}
}

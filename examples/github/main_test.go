package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-0474a412/parley/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	server := serve()
	defer server.Close()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, server.URL))
	require.Equal(t, `a session
  engine has 1843 stars
  notes has 1815 stars
  poems has 1852 stars
  404: there is no repository letters
  made letters
resources
  engine has 1843 stars
  notes has 1815 stars
  poems has 1852 stars
  letters has 0 stars
  made diary, private: true
  nothing is there: false
a declaration
  poems has 1852 stars
  letters has 0 stars
  engine has 1844 stars now
  once more with the old tag: somebody has changed it
`, out.String())
}

// TestDeclaration_withoutAServer shows how a program over a declaration is tested.
func TestDeclaration_withoutAServer(t *testing.T) {
	fake := &gitHub{
		Repos: func(context.Context, string, listOptions) ([]Repo, error) {
			return []Repo{{Name: "fake", Stars: 7}}, nil
		},
		Repo: func(context.Context, string, string) (Repo, api.Meta, error) {
			return Repo{}, api.Meta{}, context.Canceled
		},
	}
	var out bytes.Buffer
	require.ErrorIs(t, declaration{fake}.walk(t.Context(), &out), context.Canceled)
	require.Equal(t, "  fake has 7 stars\n", out.String())
}

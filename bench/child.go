package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The roles in which the program starts itself again. A role is the first and
// only argument; it is no flag of the command line.
const (
	rolePrefix = "-bench-role="
	roleServer = "server"
	roleClient = "client"
)

// childRole tells whether the arguments are those of a process that this
// program started.
func childRole(args []string) (string, bool) {
	if len(args) != 2 {
		return "", false
	}
	return strings.CutPrefix(args[1], rolePrefix)
}

// runChild does the work of a role and returns the exit code. What it has to
// say it writes to stdout; stdin tells it what to do, and its end that the
// starting process has gone, whatever became of it.
func runChild(role string, stdin io.Reader, stdout, stderr io.Writer) int {
	var err error
	switch role {
	case roleServer:
		err = serveUntilEOF(stdin, stdout)
	case roleClient:
		err = measureOne(stdin, stdout)
	default:
		err = fmt.Errorf("unknown role %q", role)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// serveUntilEOF listens on ports of the kernel's choice, writes the addresses as
// a line to stdout, and serves until stdin ends.
func serveUntilEOF(stdin io.Reader, stdout io.Writer) error {
	s, err := openSite()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(s.at); err != nil {
		return errors.Join(err, s.close())
	}
	_, err = io.Copy(io.Discard, stdin)
	return errors.Join(err, s.close())
}

// measureOne reads a sliceSpec from stdin and writes the sliceResult to stdout.
func measureOne(stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading what to measure: %w", err)
	}
	var spec sliceSpec
	if err := json.Unmarshal(line, &spec); err != nil {
		return fmt.Errorf("reading what to measure: %w", err)
	}
	if err := needFiles(filesFor([]scenario{spec.Scenario})); err != nil {
		return err
	}
	go func() {
		// Nothing more comes; the read ends when the starting process does, and
		// then nobody is left to take the result.
		io.Copy(io.Discard, in)
		os.Exit(3)
	}()
	res, err := measureSlice(spec)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(res)
}

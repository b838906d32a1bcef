//go:build reliability

package faults_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

// alarms are texts that must not be in the log of a program that was built with the race
// detector.
var alarms = []string{"DATA RACE", "panic:", "Observed a panic", "fatal error:"}

// judgeLog reads a log, and returns the lines that must not be in it.
func judgeLog(file string) (leaked, alarming []string, err error) {
	log, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = log.Close() }()
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		if canary.Find(line) != "" {
			leaked = append(leaked, line)
		}
		for _, alarm := range alarms {
			if strings.Contains(line, alarm) {
				alarming = append(alarming, line)
			}
		}
		if errors.Is(err, io.EOF) {
			return leaked, alarming, nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// leaksStored returns the objects that contain a canary anywhere except in the data of a Secret.
func leaksStored(versions []version) (leaked []string) {
	for _, v := range versions {
		var public any
		switch {
		case v.secret != nil:
			public = v.secret.ObjectMeta
		case v.token != nil:
			public = v.token
		case v.environment != nil:
			public = v.environment
		case v.event != nil:
			public = v.event
		}
		text, err := json.Marshal(public)
		if err != nil || canary.Find(string(text)) != "" {
			leaked = append(leaked, fmt.Sprintf("%s %s at revision %d", v.kind, v.name, v.revision))
		}
	}
	return leaked
}

// aTokenOfNobody is a token for the tests of the judges.
var aTokenOfNobody = workossim.TokenValue(workossim.Connection{ID: workossim.ID{Slug: "github", UserID: "nobody"}}, 1)

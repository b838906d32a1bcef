package main

import (
	"strings"
	"testing"
)

func TestTheJournalIsParsed(t *testing.T) {
	const header = "time,slug,userID,organizationID,status,result,tokenSerial,tokenExpiresAt\n"
	calls, err := parseJournal(strings.NewReader(header +
		"2026-11-23T12:00:01.5Z,github,user_000042,,200,token,3,2026-11-23T12:01:00.25Z\n" +
		"2026-11-23T12:00:02Z,github,user_000007,,500,server_error,0,\n"))
	if err != nil || len(calls) != 2 {
		t.Fatalf("got %v, %v", calls, err)
	}
	if calls[0] != (call{at(1.5), 42, 3, at(60.25)}) || calls[1] != (call{at: at(2), object: 7}) {
		t.Errorf("got %v", calls)
	}
	if _, err := parseJournal(strings.NewReader(header + "now,github,user_1,,200,token,1,\n")); err == nil {
		t.Error("no error for a time that is none")
	}
}

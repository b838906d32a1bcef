// Package controllers turns PipesTokens into Secrets, and PipesEnvironments into connections to WorkOS.
//
// The loop of a PipesToken is observe → decide → act → report:
//
//   - observe (observe.go) reads the object, its environment, the grant and the metadata of its Secret, all from caches;
//   - decide (decide.go) is a pure function from that to one action, and judge (judge.go) one from WorkOS's answer to
//     what it means;
//   - act (act.go) makes at most one call to WorkOS and one write of the Secret (write.go, withdraw.go). A call takes time,
//     so what its answer is judged by is looked at again (recheck.go);
//   - report (report.go) is the one place that turns the outcome into conditions, events, metrics and the delay until the
//     next pass.
//
// Beside the loop, a second controller (expiry.go) says of a token that has expired that it has, whatever keeps the loop.
package controllers

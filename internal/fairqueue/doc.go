// Package fairqueue is the work queue of controllers whose objects belong to many tenants. No
// namespace slows down another one by edits, by new objects, or by calls that hang.
//
// An object is ready because of an event, or because its timer is due. A timer that is not yet
// due does not change the priority of an event: the event makes the object ready with its own
// priority.
//
// Which object is next:
//
//  1. Half of the picks go to the namespace with the most urgent object, if any object is urgent:
//     withdrawals first, then renewals, the nearest deadline first.
//  2. The other half go to the namespace that was picked longest ago. Urgent picks count too, so a
//     namespace that takes all urgent picks gets none of this half. Every other namespace keeps at
//     least half of the picks that it gets while that namespace is quiet.
//  3. Within a namespace, three picks of four take the most urgent object, and the fourth takes the
//     object that has waited longest. Every object is picked in the end.
//
// Which objects may be picked:
//
//   - A namespace may not hold more workers than are free. One namespace gets half of the workers,
//     the next one half of the rest, and so on. Calls that hang leave workers to other namespaces.
//     One withdrawal of each namespace runs beyond this limit, because it must not wait until those
//     calls end.
//   - An object that was reconciled only because of an edit waits for a second before the next edit
//     counts. Timers and urgent events do not wait.
//
// Each object has one entry. Picking the object clears its timer, so a reconcile must end with
// a new timer.
package fairqueue

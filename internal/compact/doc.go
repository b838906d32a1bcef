// Package compact makes the objects in the caches small, and reads them back. Users can store more
// in an object than a cache can hold for many objects: 1.5 MiB each. In the caches a PipesToken
// takes at most 4 KiB, and its Secret about half a kilobyte.
//
//   - trim.go drops what the operator does not use, and lets equal strings share their memory.
//   - managedfields.go lets all Secrets with the same keys share one entry of managedFields: it
//     saves about 1 KiB for each Secret.
//   - pack.go holds labels and annotations of a Secret as one string: it saves two maps, about 700
//     bytes for each Secret.
//   - stub.go and secretstub.go replace an object that is still too large by a stub.
//   - reader.go reads from the caches. It unpacks, and reads the complete object instead of a stub
//     from the API server.
package compact

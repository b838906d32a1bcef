// Command dryrun creates the objects of manifests in a dry run, on a real API server with our
// CRDs. It fails if the server does not know a field or a kind, or refuses a value.
//
//	KUBEBUILDER_ASSETS=$(make controlplane) go run ./hack/dryrun FILE...
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// foreign are kinds of other projects, whose CRDs are not here.
var foreign = map[string]string{
	"monitoring.coreos.com":  "the Prometheus operator",
	"sharding.timebertt.dev": "the sharder",
}

func main() {
	ctrl.SetLogger(logr.Discard())
	if err := run(context.Background(), filepath.Join("config", "crd", "bases"), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "dryrun: %v\n", err)
		os.Exit(1)
	}
}

// run creates the objects of the files. The error has a line for each object that is refused.
func run(ctx context.Context, crds string, files []string) (err error) {
	environment := &envtest.Environment{CRDDirectoryPaths: []string{crds}, ErrorIfCRDPathMissing: true}
	config, err := environment.Start()
	defer func() { err = errors.Join(err, environment.Stop()) }()
	if err != nil {
		return err
	}
	config.QPS = -1 // no client limit: the API server has its own
	server, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	server = client.WithFieldValidation(server, metav1.FieldValidationStrict)
	var refused error
	created := 0
	for _, file := range files {
		objects, err := read(file)
		if err != nil {
			return err
		}
		for _, object := range objects {
			if owner := foreign[object.GroupVersionKind().Group]; owner != "" {
				fmt.Printf("dryrun: not checked: %s %s, a kind of %s\n", object.GetKind(), object.GetName(), owner)
				continue
			}
			if err := create(ctx, server, object); err != nil {
				refused = errors.Join(refused, fmt.Errorf("%s: %s %s: %w", file, object.GetKind(), object.GetName(), err))
			}
			created++
		}
	}
	fmt.Printf("dryrun: %d objects of %d files\n", created, len(files))
	return refused
}

// create creates an object in a dry run. Its namespace is created for real, because the server
// refuses an object without one.
func create(ctx context.Context, server client.Client, object *unstructured.Unstructured) error {
	namespaced, err := server.IsObjectNamespaced(object)
	if err != nil {
		return err
	}
	if namespaced {
		if object.GetNamespace() == "" {
			object.SetNamespace(corev1.NamespaceDefault) // a part of an install, which has the namespace
		}
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: object.GetNamespace()}}
		if err := server.Create(ctx, namespace); client.IgnoreAlreadyExists(err) != nil {
			return err
		}
	}
	// The server finds out last that an object exists, as our CRDs and the namespaces do.
	if err := server.Create(ctx, object, client.DryRunAll); !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// read reads the objects of a file. A key that occurs twice is an error.
func read(file string) ([]*unstructured.Unstructured, error) {
	stream, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	var objects []*unstructured.Unstructured
	documents := utilyaml.NewYAMLReader(bufio.NewReader(stream))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(text, &object.Object); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

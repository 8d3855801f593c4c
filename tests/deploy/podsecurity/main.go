// Judges every pod of the YAML files it is given by the Pod Security level "restricted", with Kubernetes' own package.
//
// A line for each pod says its level, or what violates it. Exit code 1: a violation. Exit code 2: a file that cannot be
// read, an unknown kind or field, or a file without a pod, so that nothing passes by not having been looked at.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

var restricted = api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}

// Kinds that no pod is made of.
var podless = []string{
	"Certificate", "ConfigMap", "Issuer", "MutatingWebhookConfiguration", "Namespace", "NetworkPolicy",
	"PodDisruptionBudget", "PodMonitor", "PrometheusRule", "Service", "ServiceAccount",
}

func main() {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		fail(err)
	}
	violations := 0
	for _, path := range os.Args[1:] {
		pods, err := read(path)
		if err != nil {
			fail(fmt.Errorf("%s: %w", path, err))
		}
		for _, name := range slices.Sorted(maps.Keys(pods)) {
			pod := pods[name]
			found := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
			if found.Allowed {
				fmt.Printf("%s: %s is %s\n", path, name, restricted.Level)
				continue
			}
			violations++
			fmt.Printf("%s: %s violates %s: %s\n", path, name, restricted.Level, found.ForbiddenDetail())
		}
	}
	if violations > 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}

// read gives the pods of a file's documents by "Kind/name".
func read(path string) (map[string]corev1.PodTemplateSpec, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pods := map[string]corev1.PodTemplateSpec{}
	for _, document := range strings.Split(string(text), "\n---\n") {
		var object metav1.PartialObjectMetadata
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return nil, err
		}
		if slices.Contains(podless, object.Kind) {
			continue
		}
		pod, err := template(object.Kind, []byte(document))
		if err != nil {
			return nil, err
		}
		pods[object.Kind+"/"+object.Name] = pod
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("no pod is in it")
	}
	return pods, nil
}

// template gives what the pods of one object are made of.
func template(kind string, document []byte) (corev1.PodTemplateSpec, error) {
	switch kind {
	case "Pod":
		pod, err := decode[corev1.Pod](document)
		return corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}, err
	case "Deployment":
		object, err := decode[appsv1.Deployment](document)
		return object.Spec.Template, err
	case "StatefulSet":
		object, err := decode[appsv1.StatefulSet](document)
		return object.Spec.Template, err
	case "DaemonSet":
		object, err := decode[appsv1.DaemonSet](document)
		return object.Spec.Template, err
	case "Job":
		object, err := decode[batchv1.Job](document)
		return object.Spec.Template, err
	case "CronJob":
		object, err := decode[batchv1.CronJob](document)
		return object.Spec.JobTemplate.Spec.Template, err
	}
	return corev1.PodTemplateSpec{}, fmt.Errorf("kind %q is not known here", kind)
}

func decode[T any](document []byte) (object T, err error) {
	return object, yaml.UnmarshalStrict(document, &object)
}

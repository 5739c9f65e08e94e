// Package test checks that Helm, Kubernetes and the operators of Prometheus and KEDA
// accept the chart. Nothing here uses a network or a cluster.
package test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/releaseutil"
)

var update = flag.Bool("update", false, "write the golden output and deploy/kubernetes/backhaul.yaml anew")

const (
	chartDir = "../backhaul"
	// plainValues are what the plain manifests are rendered from.
	plainValues = "../../kubernetes/values.yaml"
	plainOutput = "../../kubernetes/backhaul.yaml"
)

// versions are the oldest and the newest Kubernetes that the chart is rendered for.
var versions = []string{"v1.27.0", "v1.37.0"}

// sets are the value files, and where their output is kept.
func sets(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d sets of values: %v", len(files), err)
	}
	outputs := map[string]string{plainValues: plainOutput}
	for _, file := range files {
		outputs[file] = strings.TrimSuffix(file, ".values.yaml") + ".golden.yaml"
	}
	return outputs
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stubbed is the chart without its alerts and its dashboard: they are somewhere
// else already, and would be most of the output.
func stubbed(t *testing.T) *chart.Chart {
	t.Helper()
	c := load(t)
	stubs := map[string]string{"files/alerts.yaml": "groups: [] # files/alerts.yaml\n", "files/backhaul.json": "{}\n"}
	for _, file := range c.Files {
		if stub, ok := stubs[file.Name]; ok {
			file.Data = []byte(stub)
			delete(stubs, file.Name)
		}
	}
	if len(stubs) > 0 {
		t.Fatalf("the chart has no %v", stubs)
	}
	return c
}

// render does what `helm template backhaul` does, without a cluster.
func render(c *chart.Chart, values map[string]any, version string) (string, error) {
	if err := chartutil.ProcessDependencies(c, values); err != nil {
		return "", err
	}
	kube, err := chartutil.ParseKubeVersion(version)
	if err != nil {
		return "", err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *kube
	if !chartutil.IsCompatibleRange(c.Metadata.KubeVersion, version) {
		return "", fmt.Errorf("the chart does not want Kubernetes %s", version)
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{
		Name: "backhaul", Namespace: "backhaul", Revision: 1, IsInstall: true,
	}, capabilities)
	if err != nil {
		return "", err
	}
	rendered, err := engine.Render(c, all)
	if err != nil {
		return "", err
	}
	for name := range rendered {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(rendered, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(rendered, capabilities.APIVersions, releaseutil.InstallOrder)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, hook := range hooks {
		fmt.Fprintf(&b, "---\n%s\n", strings.TrimSpace(hook.Manifest))
	}
	for _, manifest := range manifests {
		fmt.Fprintf(&b, "---\n%s\n", strings.TrimSpace(manifest.Content))
	}
	return b.String(), nil
}

func readValues(t *testing.T, file string) map[string]any {
	t.Helper()
	values, err := chartutil.ReadValuesFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

const plainHead = `# Backhaul without Helm: rendered from the chart with values.yaml by ` + "`make helm`" + `.
# README.md, Kubernetes, says what has to be there before, and what to change.
`

var (
	helmHooks  = regexp.MustCompile(`(?m)^  annotations:\n(?:    helm\.sh/.*\n)+`)
	helmLabels = regexp.MustCompile(`(?m)^    (?:helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n`)
)

// plain takes out what only Helm reads.
func plain(manifests string) string {
	return plainHead + helmLabels.ReplaceAllString(helmHooks.ReplaceAllString(manifests, ""), "")
}

// What the chart renders is in the repository, where a change is seen.
func TestOutputIsCurrent(t *testing.T) {
	for valuesFile, output := range sets(t) {
		got, err := render(stubbed(t), readValues(t, valuesFile), versions[0])
		if err != nil {
			t.Errorf("%s: %v", valuesFile, err)
			continue
		}
		if other, err := render(stubbed(t), readValues(t, valuesFile), versions[1]); err != nil || other != got {
			t.Errorf("%s: another output for Kubernetes %s: %v", valuesFile, versions[1], err)
		}
		if output == plainOutput {
			got = plain(got)
		}
		if *update {
			if err := os.WriteFile(output, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != got {
			t.Errorf("%s is not what the chart renders; run `make helm` and look at the difference", output)
		}
	}
}

// `helm lint --strict` with each set of values.
func TestLint(t *testing.T) {
	for valuesFile := range sets(t) {
		linter := lint.All(chartDir, readValues(t, valuesFile), "backhaul", true)
		if len(linter.Messages) == 0 {
			t.Fatal("nothing was looked at") // there is always the note about an icon
		}
		for _, m := range linter.Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %v", valuesFile, m)
			}
		}
	}
}

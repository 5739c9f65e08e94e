package test

import (
	"encoding/json"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// selectorsOf is what selects pods, by what it is of.
func selectorsOf(t *testing.T, objects []metav1.Object) map[string]labels.Selector {
	t.Helper()
	found := make(map[string]labels.Selector)
	add := func(name string, s *metav1.LabelSelector) {
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = selector
	}
	for _, object := range objects {
		switch o := object.(type) {
		case *appsv1.Deployment:
			add("Deployment "+o.Name, o.Spec.Selector)
			for _, c := range o.Spec.Template.Spec.TopologySpreadConstraints {
				add("topology "+c.TopologyKey+" of "+o.Name, c.LabelSelector)
			}
		case *policyv1.PodDisruptionBudget:
			add("PodDisruptionBudget "+o.Name, o.Spec.Selector)
		case *networkingv1.NetworkPolicy:
			add("NetworkPolicy "+o.Name, &o.Spec.PodSelector)
		case *corev1.Service:
			add("Service "+o.Name, &metav1.LabelSelector{MatchLabels: o.Spec.Selector})
		}
	}
	return found
}

// Each ServiceMonitor finds one Service, that of its own replicas.
func TestMonitorsFindTheirService(t *testing.T) {
	monitors := 0
	for file, objects := range everything(t) {
		for _, object := range objects {
			m, ok := object.(*monitoringv1.ServiceMonitor)
			if !ok {
				continue
			}
			monitors++
			selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range objects {
				if s, ok := other.(*corev1.Service); ok && selector.Matches(labels.Set(s.Labels)) != (s.Name == m.Name) {
					t.Errorf("%s: the monitor %s and the service %s", file, m.Name, s.Name)
				}
			}
		}
	}
	if monitors < 3 {
		t.Errorf("only %d monitors", monitors)
	}
}

// The setup runs before the replicas and before KEDA can look for the consumer.
func TestSetupComesFirst(t *testing.T) {
	for _, set := range []string{"minimal", "full"} {
		order := make(map[string]int)
		values := readValues(t, "testdata/"+set+".values.yaml")
		manifests, err := render(load(t), values, versions[0])
		if err != nil {
			t.Fatal(err)
		}
		objects, err := decode("\n" + manifests)
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range objects {
			if o.GetName() == "backhaul-setup" && o.GetAnnotations()["helm.sh/hook"] != "pre-install,pre-upgrade" {
				t.Errorf("%s: %T is no hook: %v", set, o, o.GetAnnotations())
			}
			switch o.(type) {
			case *networkingv1.NetworkPolicy, *corev1.ConfigMap:
				if o.GetName() == "backhaul-setup" {
					order[o.GetAnnotations()["helm.sh/hook-weight"]] = i
				}
			}
		}
		if len(order) != 1 || order["-10"] == 0 {
			t.Errorf("%s: what the Job needs comes with the weights %v", set, order)
		}
	}
}

// The alerts and the dashboard get into the cluster whole, with links that lead
// somewhere.
func TestMonitoring(t *testing.T) {
	manifests, err := render(load(t), readValues(t, "testdata/full.values.yaml"), versions[0])
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decode("\n" + manifests)
	if err != nil {
		t.Fatal(err)
	}
	rules, dashboards := 0, 0
	for _, object := range objects {
		switch o := object.(type) {
		case *monitoringv1.PrometheusRule:
			for _, group := range o.Spec.Groups {
				for _, rule := range group.Rules {
					rules++
					if !strings.HasPrefix(rule.Annotations["runbook_url"], "https://git.example.com/backhaul/deploy/RUNBOOK.md#backhaul") {
						t.Errorf("%s: %s", rule.Alert, rule.Annotations["runbook_url"])
					}
				}
			}
		case *corev1.ConfigMap:
			if o.Labels["grafana_dashboard"] == "1" && json.Valid([]byte(o.Data["backhaul.json"])) {
				dashboards++
			}
		}
	}
	if rules < 10 || dashboards != 1 {
		t.Errorf("%d rules and %d dashboards", rules, dashboards)
	}
}

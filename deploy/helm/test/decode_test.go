package test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// scaledObject is KEDA's (2.21, keda.sh/docs): its own types would bring its whole
// program along. Trigger metadata is of the scaler nats-jetstream.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Name       string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int32 `json:"minReplicaCount"`
		MaxReplicaCount int32 `json:"maxReplicaCount"`
		PollingInterval int32 `json:"pollingInterval"`
		CooldownPeriod  int32 `json:"cooldownPeriod"`
		Triggers        []struct {
			Type     string `json:"type"`
			Metadata struct {
				Endpoint            string `json:"natsServerMonitoringEndpoint"`
				UseHTTPS            string `json:"useHttps"`
				Account             string `json:"account"`
				Stream              string `json:"stream"`
				Consumer            string `json:"consumer"`
				LagThreshold        string `json:"lagThreshold"`
				ActivationThreshold string `json:"activationLagThreshold"`
			} `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// typeOf is what a kind is decoded into.
func typeOf(m metav1.TypeMeta) (metav1.Object, error) {
	switch m.APIVersion + "/" + m.Kind {
	case "v1/ConfigMap":
		return &corev1.ConfigMap{}, nil
	case "v1/Service":
		return &corev1.Service{}, nil
	case "v1/ServiceAccount":
		return &corev1.ServiceAccount{}, nil
	case "v1/PersistentVolumeClaim":
		return &corev1.PersistentVolumeClaim{}, nil
	case "apps/v1/Deployment":
		return &appsv1.Deployment{}, nil
	case "batch/v1/Job":
		return &batchv1.Job{}, nil
	case "policy/v1/PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}, nil
	case "networking.k8s.io/v1/NetworkPolicy":
		return &networkingv1.NetworkPolicy{}, nil
	case "monitoring.coreos.com/v1/ServiceMonitor":
		return &monitoringv1.ServiceMonitor{}, nil
	case "monitoring.coreos.com/v1/PrometheusRule":
		return &monitoringv1.PrometheusRule{}, nil
	case "keda.sh/v1alpha1/ScaledObject":
		return &scaledObject{}, nil
	}
	return nil, fmt.Errorf("the test does not know %s %s", m.APIVersion, m.Kind)
}

// decode reads manifests strictly: no field that the type does not have, none twice.
func decode(manifests string) ([]metav1.Object, error) {
	var objects []metav1.Object
	for document := range strings.SplitSeq(manifests, "\n---\n") {
		if len(bytes.TrimSpace([]byte(document))) == 0 {
			continue
		}
		var m metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &m); err != nil {
			return nil, err
		}
		if m.Kind == "" {
			continue // a comment
		}
		object, err := typeOf(m)
		if err != nil {
			return nil, err
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			return nil, fmt.Errorf("%s %s: %w", m.Kind, object.GetName(), err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// everything is what is rendered, by the file that it is in.
func everything(t *testing.T) map[string][]metav1.Object {
	t.Helper()
	all := make(map[string][]metav1.Object)
	for _, output := range sets(t) {
		data, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := decode("\n" + string(data))
		if err != nil {
			t.Fatalf("%s: %v", output, err)
		}
		if len(objects) < 3 {
			t.Fatalf("%s has %d objects", output, len(objects))
		}
		all[output] = objects
	}
	return all
}

func TestDecodingIsStrict(t *testing.T) {
	const good = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 1}]}\n"
	if objects, err := decode(good); err != nil || len(objects) != 1 {
		t.Fatal(objects, err)
	}
	for what, bad := range map[string]string{
		"an unknown field": strings.Replace(good, "port:", "portt:", 1),
		"another type":     strings.Replace(good, "port: 1", "port: one", 1),
		"a key twice":      good + "spec: {}\n",
		"an unknown kind":  strings.Replace(good, "Service", "Servise", 1),
	} {
		if _, err := decode(bad); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}

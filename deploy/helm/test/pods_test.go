package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// pods are the templates in a set of objects.
func pods(objects []metav1.Object) map[string]corev1.PodTemplateSpec {
	found := make(map[string]corev1.PodTemplateSpec)
	for _, object := range objects {
		switch o := object.(type) {
		case *appsv1.Deployment:
			found["Deployment "+o.Name] = o.Spec.Template
		case *batchv1.Job:
			found["Job "+o.Name] = o.Spec.Template
		}
	}
	return found
}

// Every pod is one that the profile "restricted" of the pod security standards
// admits, and has no token of the cluster.
func TestPodsAreRestricted(t *testing.T) {
	for file, objects := range everything(t) {
		if len(pods(objects)) == 0 {
			t.Errorf("%s has no pods", file)
		}
		for name, template := range pods(objects) {
			pod := template.Spec
			if token := pod.AutomountServiceAccountToken; token == nil || *token {
				t.Errorf("%s: %s has a service account's token", file, name)
			}
			s := pod.SecurityContext
			if s == nil || !is(s.RunAsNonRoot, true) || s.RunAsUser == nil || *s.RunAsUser != 65532 ||
				s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: %s has the pod security context %+v", file, name, s)
			}
			if pod.HostNetwork || pod.HostPID || pod.HostIPC {
				t.Errorf("%s: %s uses the host", file, name)
			}
			for _, c := range pod.Containers {
				cs := c.SecurityContext
				if cs == nil || !is(cs.AllowPrivilegeEscalation, false) || !is(cs.ReadOnlyRootFilesystem, true) ||
					cs.Capabilities == nil || fmt.Sprint(cs.Capabilities.Drop) != "[ALL]" || len(cs.Capabilities.Add) > 0 {
					t.Errorf("%s: %s has the security context %+v", file, name, cs)
				}
				if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
					t.Errorf("%s: %s has no bounds", file, name)
				}
				mounts(t, file+": "+name, pod, c)
			}
		}
	}
}

func is(b *bool, want bool) bool { return b != nil && *b == want }

// mounts: each volume is mounted and each mount has its volume; what can be written
// is a claim, or the bounded directory in which a replica keeps what it has not sent.
func mounts(t *testing.T, name string, pod corev1.PodSpec, c corev1.Container) {
	t.Helper()
	volumes := make(map[string]corev1.Volume)
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
	}
	for _, m := range c.VolumeMounts {
		v, ok := volumes[m.Name]
		if !ok {
			t.Errorf("%s mounts %s, which does not exist", name, m.Name)
		}
		kept := m.Name == "claims" && m.MountPath == "/data" && v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil
		if !m.ReadOnly && v.PersistentVolumeClaim == nil && !kept {
			t.Errorf("%s may write to %s", name, m.Name)
		}
		delete(volumes, m.Name)
	}
	if len(volumes) > 0 {
		t.Errorf("%s does not mount %v", name, volumes)
	}
}

// A container of the service that is started again has what the one before has written to /data:
// which of its claims were not sent.
func TestClaimsOutliveTheContainer(t *testing.T) {
	for file, objects := range everything(t) {
		for name, template := range pods(objects) {
			if template.Labels["app.kubernetes.io/component"] != "run" {
				continue
			}
			kept := false
			for _, m := range template.Spec.Containers[0].VolumeMounts {
				kept = kept || m.MountPath == "/data" && !m.ReadOnly
			}
			if !kept {
				t.Errorf("%s: %s has no volume on /data", file, name)
			}
		}
	}
}

// A pod is killed only after its drain, the logout and the last spans.
func TestPodsOutliveTheirDrain(t *testing.T) {
	for file, objects := range everything(t) {
		drain := 25 * time.Second
		for _, object := range objects {
			if m, ok := object.(*corev1.ConfigMap); ok && m.Data["backhaul.yaml"] != "" {
				var config struct{ Work struct{ DrainTimeout string } }
				if err := yaml.Unmarshal([]byte(m.Data["backhaul.yaml"]), &config); err != nil {
					t.Fatal(err)
				}
				if config.Work.DrainTimeout != "" {
					drain, _ = time.ParseDuration(config.Work.DrainTimeout)
				}
			}
		}
		for _, object := range objects {
			d, ok := object.(*appsv1.Deployment)
			if !ok {
				continue
			}
			drain := drain
			switch d.Spec.Template.Labels["app.kubernetes.io/component"] { // which have no setting for it
			case "trigger":
				drain = 5 * time.Second
			case "archive":
				drain = 10 * time.Second
			}
			grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
			if grace < drain+10*time.Second || grace > drain+30*time.Second {
				t.Errorf("%s: %v to stop, of which the drain may take %v", file, grace, drain)
			}
		}
	}
}

// What selects pods selects those of its own component: the replicas, the trigger's,
// the archiver's or the setup's, which answers no probe.
func TestSelectorsFindTheirPods(t *testing.T) {
	for file, objects := range everything(t) {
		selectors := selectorsOf(t, objects)
		for name, template := range pods(objects) {
			component := template.Labels["app.kubernetes.io/component"]
			for what, selector := range selectors {
				of := "run"
				for _, other := range []string{"setup", "trigger", "archive"} {
					if strings.HasSuffix(what, "-"+other) {
						of = other
					}
				}
				if selector.Matches(labels.Set(template.Labels)) != (component == of) {
					t.Errorf("%s: %s selects %s: %v", file, what, name, component != of)
				}
			}
		}
	}
}

// A pod has the secrets that it needs and no other's.
func TestSecretsAreForTheirPods(t *testing.T) {
	everything := everything(t)
	for file, want := range map[string]map[string]string{
		"testdata/trigger.golden.yaml": {
			"Deployment backhaul":         "[nats-backhaul commvault]",
			"Deployment backhaul-trigger": "[nats-trigger object-store object-store]",
			"Job backhaul-setup":          "[nats-provisioner]",
		},
		"testdata/archive.golden.yaml": {
			"Deployment backhaul":         "[nats-backhaul commvault]",
			"Deployment backhaul-archive": "[archive-key nats-archiver]",
			"Job backhaul-setup":          "[nats-provisioner]",
		},
		"testdata/bucket.golden.yaml": {
			"Deployment backhaul":         "[nats-backhaul commvault]",
			"Deployment backhaul-archive": "[archive-key object-store object-store nats-archiver]",
			"Job backhaul-setup":          "[nats-backhaul]",
		},
	} {
		secretsAre(t, file, pods(everything[file]), want)
	}
}

func secretsAre(t *testing.T, file string, pods map[string]corev1.PodTemplateSpec, want map[string]string) {
	t.Helper()
	for name, template := range pods {
		var secrets []string
		for _, v := range template.Spec.Volumes {
			if v.Projected == nil {
				continue
			}
			for _, source := range v.Projected.Sources {
				if source.Secret != nil {
					secrets = append(secrets, source.Secret.Name)
				}
			}
		}
		if got := fmt.Sprint(secrets); got != want[name] {
			t.Errorf("%s: %s has the secrets %s, want %s", file, name, got, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("%s: there are no %v", file, want)
	}
}

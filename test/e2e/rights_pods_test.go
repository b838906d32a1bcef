//go:build e2e

package e2e

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// process is what the kernel reports about the operator: user, no capabilities, seccomp filter
// (2), and a read-only root file system.
const process = `
Uid: 65532 65532 65532 65532
Gid: 65532 65532 65532 65532
CapInh: 0000000000000000
CapPrm: 0000000000000000
CapEff: 0000000000000000
CapBnd: 0000000000000000
CapAmb: 0000000000000000
NoNewPrivs: 1
Seccomp: 2
/ ro
`

var _ = Describe("The operator's pods", func() {
	It("are two, ready, restricted, and as large as docs/guides/install.md says", func() {
		var pods []corev1.Pod
		Eventually(func() []corev1.Pod { // another spec may have restarted a pod
			pods = runningPods()
			return pods
		}, 2*time.Minute).Should(HaveLen(2))
		for _, pod := range pods {
			expectRestricted(pod)
			container := pod.Spec.Containers[0]
			Expect(*pod.Spec.Priority).To(BeEquivalentTo(1000000))
			Expect(pod.Spec.PriorityClassName).To(Equal("pipes-operator-manager"))
			Expect(container.Resources.Requests.Cpu().String()).To(Equal("50m"))
			Expect(container.Resources.Requests.Memory().String()).To(Equal("64Mi"))
			Expect(container.Resources.Limits).To(HaveLen(1), "throttling would delay renewals")
			Expect(container.Resources.Limits.Memory().String()).To(Equal("256Mi"))
			Expect(container.Env).To(ConsistOf(corev1.EnvVar{Name: "GOMEMLIMIT", Value: "230MiB"}))
		}
	})

	It("run without root, without capabilities and on a file system that cannot be written", func() {
		// The check runs in an ephemeral container, because the image of the operator has no
		// tools.
		const look = `grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp:)' /proc/1/status; grep ' / ' /proc/1/mounts | cut -d' ' -f2,4 | cut -d, -f1`
		var seen string
		Eventually(func(g Gomega) { // the pod may be deleted in the meantime
			pods := runningPods()
			g.Expect(pods).NotTo(BeEmpty())
			pod, name := pods[0].Name, "look-"+suffix()
			_, err := tryKubectl("", "debug", pod, "--namespace="+operatorNamespace, "--container="+name, "--target=manager", "--profile=restricted",
				"--image="+toolsImage, "--image-pull-policy=IfNotPresent", "--quiet", "--", "sh", "-c", look)
			g.Expect(err).NotTo(HaveOccurred())
			_, err = tryKubectl("", "wait", "pod/"+pod, "--namespace="+operatorNamespace, "--timeout=1m",
				`--for=jsonpath={.status.ephemeralContainerStatuses[?(@.name=="`+name+`")].state.terminated.exitCode}=0`)
			g.Expect(err).NotTo(HaveOccurred())
			seen, err = tryKubectl("", "logs", pod, "--namespace="+operatorNamespace, "--container="+name)
			g.Expect(err).NotTo(HaveOccurred())
		}, 3*time.Minute, 2*time.Second).Should(Succeed())
		Expect(strings.Fields(seen)).To(Equal(strings.Fields(process)), seen)
	})
})

// runningPods returns the pods of the operator that are ready and not being deleted.
func runningPods() []corev1.Pod {
	GinkgoHelper()
	var running []corev1.Pod
	for _, pod := range get[corev1.PodList]("pods", "--namespace="+operatorNamespace, "--selector="+operatorSelector).Items {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil {
				running = append(running, pod)
			}
		}
	}
	return running
}

// expectRestricted checks a pod against docs/guides/install.md and docs/explanation/security.md.
func expectRestricted(pod corev1.Pod) {
	GinkgoHelper()
	spec := pod.Spec
	Expect(spec.HostNetwork || spec.HostPID || spec.HostIPC).To(BeFalse())
	Expect(*spec.SecurityContext.RunAsNonRoot).To(BeTrue())
	Expect(*spec.SecurityContext.RunAsUser).To(BeEquivalentTo(65532))
	Expect(spec.SecurityContext.SeccompProfile.Type).To(Equal(corev1.SeccompProfileTypeRuntimeDefault))
	Expect(spec.InitContainers).To(BeEmpty())
	Expect(spec.Containers).To(HaveLen(1))
	container := spec.Containers[0].SecurityContext
	Expect(*container.ReadOnlyRootFilesystem).To(BeTrue())
	Expect(*container.AllowPrivilegeEscalation).To(BeFalse())
	Expect(container.Privileged).To(BeNil())
	Expect(container.Capabilities).To(Equal(&corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}))
	// The pod mounts only the token of its own ServiceAccount.
	Expect(spec.ServiceAccountName).To(Equal("pipes-operator-manager"))
	Expect(spec.Volumes).To(HaveLen(1))
	Expect(spec.Volumes[0].Projected).NotTo(BeNil())
	Expect(spec.Containers[0].VolumeMounts).To(HaveLen(1))
	Expect(spec.Containers[0].VolumeMounts[0].MountPath).To(Equal("/var/run/secrets/kubernetes.io/serviceaccount"))
	Expect(spec.Containers[0].VolumeMounts[0].ReadOnly).To(BeTrue())
}

// intrude tries to create a pod with the operator's ServiceAccount in the operator's namespace.
// The arguments are additional lines for the pod and for its container. The error contains the
// output of kubectl.
func intrude(morePod, moreContainer string) error {
	_, err := tryKubectl(`
apiVersion: v1
kind: Pod
metadata: {name: intruder, namespace: `+operatorNamespace+`}
spec:
  serviceAccountName: pipes-operator-manager
  `+morePod+`
  containers:
  - name: main
    image: `+toolsImage+`
    `+moreContainer+`
`, "apply", "--filename=-")
	return err
}

var _ = Describe("The operator's namespace", func() {
	It("enforces the Pod Security Standard restricted", func() {
		Expect(get[corev1.Namespace]("namespace", operatorNamespace).Labels).To(HaveKeyWithValue("pod-security.kubernetes.io/enforce", "restricted"))
		// An API server without --allow-privileged rejects the first pod with a different
		// message.
		Expect(intrude("hostPID: true", "securityContext: {privileged: true}")).To(MatchError(ContainSubstring("privileged")))
		standard := ContainSubstring(`pods "intruder" is forbidden: violates PodSecurity "restricted:latest"`)
		Expect(intrude("hostPID: true", "")).To(MatchError(And(standard, ContainSubstring("host namespaces (hostPID=true)"))))
		Expect(intrude("volumes: [{name: node, hostPath: {path: /}}]", "")).To(MatchError(And(standard, ContainSubstring(`restricted volume types (volume "node" uses restricted volume type "hostPath")`))))
		Expect(intrude("", "")).To(MatchError(And(standard, ContainSubstring("runAsNonRoot != true"))))
	})

	It("has nothing that gives its account's token to pods that do not ask for it", func() {
		account := get[corev1.ServiceAccount]("serviceaccount", "pipes-operator-manager", "--namespace="+operatorNamespace)
		Expect(*account.AutomountServiceAccountToken).To(BeFalse())
		Expect(account.Secrets).To(BeEmpty())
		for _, secret := range get[corev1.SecretList]("secrets", "--namespace="+operatorNamespace).Items {
			Expect(secret.Type).NotTo(Equal(corev1.SecretTypeServiceAccountToken), secret.Name)
		}
		for _, pod := range get[corev1.PodList]("pods", "--namespace="+operatorNamespace).Items {
			Expect(pod.Labels).To(HaveKeyWithValue("app.kubernetes.io/name", "pipes-operator"), "a pod of somebody else: "+pod.Name)
		}
	})

	It("lets a drain evict one replica", func() {
		Eventually(func() policyv1.PodDisruptionBudgetStatus {
			return get[policyv1.PodDisruptionBudget]("poddisruptionbudget", "pipes-operator-manager", "--namespace="+operatorNamespace).Status
		}, 2*time.Minute).Should(And(
			HaveField("DisruptionsAllowed", BeEquivalentTo(1)), HaveField("CurrentHealthy", BeEquivalentTo(2)),
			HaveField("DesiredHealthy", BeEquivalentTo(1)), HaveField("ExpectedPods", BeEquivalentTo(2))))
	})
})

{{- define "glm-platform.controllerPod" -}}
{{- if not .Values.controller.prometheus }}
{{- fail "controller.prometheus is needed: without Prometheus no gate can pass; or set controller.enabled to false." }}
{{- end -}}
serviceAccountName: glm-controller
enableServiceLinks: false
# A step that it was taking is finished by whoever leads next.
terminationGracePeriodSeconds: 30
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.controller.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.controller.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.controller.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "glm-platform.controllerSelector" . | nindent 8 }}
containers:
  - name: controller
    {{- include "glm-platform.controllerContainer" . | nindent 4 }}
volumes: [{name: tmp, emptyDir: {}}]
{{- end }}

{{- define "glm-platform.controllerContainer" -}}
image: {{ .Values.image.repository }}@{{ .Values.image.digest }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
command: [python, -m, k8s, controller]
env:
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  - {name: GLM_PROMETHEUS_URL, value: {{ .Values.controller.prometheus | quote }}}
  - {name: HOME, value: /tmp}
ports: [{name: metrics, containerPort: 9100}]
resources:
  {{- toYaml .Values.controller.resources | nindent 2 }}
readinessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 5}
# Alive is a loop that turns: one that hangs must give its lease away.
livenessProbe: {httpGet: {path: /healthz, port: metrics}, periodSeconds: 10, failureThreshold: 6}
volumeMounts: [{name: tmp, mountPath: /tmp}]
{{- end }}

{{/* Pods of python -m k8s; a dict of root, component and values (.Values.controller or .Values.scorer). */}}

{{- define "glm-platform.pod" -}}
serviceAccountName: glm-{{ .component }}
enableServiceLinks: false
terminationGracePeriodSeconds: 30
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "glm-platform.componentSelector" . | nindent 8 }}
containers:
  - name: {{ .component }}
    {{- include "glm-platform.container" . | nindent 4 }}
volumes: [{name: tmp, emptyDir: {sizeLimit: 1Gi}}]
{{- end }}

{{- define "glm-platform.container" -}}
image: {{ .root.Values.image.repository }}@{{ .root.Values.image.digest }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
command: [python, -m, k8s, {{ .component }}]
env:
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  {{- with .values.prometheus }}
  - {name: GLM_PROMETHEUS_URL, value: {{ . | quote }}}
  # Versions of other namespaces may have the same names.
  - {name: GLM_PROMETHEUS_SELECTOR, value: {{ printf "namespace=%q" $.root.Release.Namespace | quote }}}
  {{- end }}
  {{- with .values.lease }}
  - {name: GLM_LEASE_S, value: {{ . | quote }}}
  {{- end }}
  {{- with .values.atOnce }}
  - {name: GLM_SCORER_AT_ONCE, value: {{ . | quote }}}
  {{- end }}
  {{- with .values.maxTokens }}
  - {name: GLM_SCORER_MAX_TOKENS, value: {{ . | quote }}}
  {{- end }}
  - {name: HOME, value: /tmp}
ports: [{name: {{ include "glm-platform.portName" . }}, containerPort: {{ include "glm-platform.port" . }}}]
resources:
  {{- toYaml .values.resources | nindent 2 }}
readinessProbe: {httpGet: {path: /healthz, port: {{ include "glm-platform.portName" . }}}, periodSeconds: 5}
# Alive is a loop that turns: one that hangs must give its lease away.
livenessProbe: {httpGet: {path: /healthz, port: {{ include "glm-platform.portName" . }}}, periodSeconds: 10, failureThreshold: 6}
volumeMounts: [{name: tmp, mountPath: /tmp}]
{{- end }}

{{/* The scorer is sent copies of requests, as a model is; the controller is only looked at. */}}
{{- define "glm-platform.port" -}}
{{ ternary "8000" "9100" (eq .component "scorer") }}
{{- end }}

{{- define "glm-platform.portName" -}}
{{ ternary "serve" "metrics" (eq .component "scorer") }}
{{- end }}

{{/* A Deployment of such pods; a dict of root, component, values and replicas. */}}
{{- define "glm-platform.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "glm-platform.metadata" (dict "root" .root "name" (printf "glm-%s" .component) "component" .component) | nindent 2 }}
spec:
  replicas: {{ .replicas }}
  revisionHistoryLimit: 10
  progressDeadlineSeconds: 120
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector:
    matchLabels:
      {{- include "glm-platform.componentSelector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "glm-platform.podLabels" (dict "root" .root "component" .component) | nindent 8 }}
      annotations:
        {{- $scraped := dict "prometheus.io/scrape" "true" "prometheus.io/port" (include "glm-platform.port" .) }}
        {{- toYaml (mergeOverwrite $scraped .root.Values.extraAnnotations) | nindent 8 }}
    spec:
      {{- include "glm-platform.pod" . | nindent 6 }}
{{- end }}

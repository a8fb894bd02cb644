{{/* A dict of root, name and, where they are, component and annotations. */}}
{{- define "glm-platform.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
{{ include "glm-platform.labels" . }}
{{- end }}

{{- define "glm-platform.labels" -}}
labels:
  helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
  {{- include "glm-platform.podLabels" . | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.extraAnnotations (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "glm-platform.podLabels" -}}
{{ include "glm-platform.selector" .root }}
app.kubernetes.io/part-of: glm-platform
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .root.Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "glm-platform.selector" -}}
app.kubernetes.io/name: glm-platform
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* A dict of root and component. */}}
{{- define "glm-platform.componentSelector" -}}
{{ include "glm-platform.selector" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "glm-platform.monitored" -}}
{{- $install := .Values.monitoring.install }}
{{- if or (eq $install "always") (and (eq $install "auto") (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) }}yes{{ end }}
{{- end }}

{{- define "glm-platform.retried" -}}
{{- $install := .Values.gateway.retries.install }}
{{- if or (eq $install "always") (and (eq $install "auto") (.Capabilities.APIVersions.Has "gateway.envoyproxy.io/v1alpha1/BackendTrafficPolicy")) }}yes{{ end }}
{{- end }}

{{/* The API server has no pods: it is told by its ports alone. Without any the rule would be for all. */}}
{{- define "glm-platform.apiEgress" -}}
- ports:
    {{- range .Values.networkPolicies.apiPorts | default (list 443 6443) }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

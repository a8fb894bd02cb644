{{/* Names and labels. A version's objects are named after it alone, whatever the release is called. */}}

{{- define "glm-model.name" -}}
glm-{{ .Values.version }}
{{- end }}

{{/* What selectors hold: few, and never changed. */}}
{{- define "glm-model.selector" -}}
app.kubernetes.io/name: glm-model
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Labels of pods. No chart version: a new chart alone must not start a new Ray cluster. */}}
{{- define "glm-model.podLabels" -}}
{{ include "glm-model.selector" . }}
app.kubernetes.io/version: {{ .Values.version | quote }}
app.kubernetes.io/part-of: glm-platform
app.kubernetes.io/managed-by: {{ .Release.Service }}
glm-serve.io/version: {{ .Values.version | quote }}
{{- with .Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels and annotations of every object; a dict of root, name and, if it has any, annotations. */}}
{{- define "glm-model.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
  {{- include "glm-model.podLabels" .root | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.extraAnnotations (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "glm-model.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "glm-model.name" .) }}
{{- end }}

{{- define "glm-model.image" -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- end }}

{{/* Where pods carry the model: the component that the Service selects. With workers the head only
     leads, so that a lost head cuts no stream. */}}
{{- define "glm-model.servingComponent" -}}
{{ ternary "worker" "head" .Values.workers.enabled }}
{{- end }}

{{- define "glm-model.workloads" -}}
{{- $held := include "glm-model.held" . | trim }}
{{- if ne .Values.workloads "auto" -}}
{{ .Values.workloads }}
{{- else if $held -}}
{{ $held }}
{{- else -}}
{{ ternary "rayservice" "plain" (and .Values.workers.enabled (.Capabilities.APIVersions.Has "ray.io/v1")) }}
{{- end -}}
{{- end }}

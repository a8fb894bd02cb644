{{- define "glm-road.metadata" -}}
name: {{ .Values.name | quote }}
{{ include "glm-road.belonging" . }}
{{- end }}

{{- define "glm-road.belonging" -}}
namespace: {{ .Release.Namespace | quote }}
labels:
  helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
  app.kubernetes.io/name: glm-road
  app.kubernetes.io/instance: {{ .Release.Name | quote }}
  app.kubernetes.io/part-of: glm-platform
  app.kubernetes.io/managed-by: {{ .Release.Service }}
  {{- with .Values.extraLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "glm-road.parents" -}}
parentRefs:
  - name: {{ .Values.gateway.name | quote }}
    {{- with .Values.gateway.namespace }}
    namespace: {{ . | quote }}
    {{- end }}
    {{- with .Values.gateway.sectionName }}
    sectionName: {{ . | quote }}
    {{- end }}
{{- with .Values.hostnames }}
hostnames:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "glm-road.metadata" -}}
name: {{ .Values.name }}
namespace: {{ .Release.Namespace }}
labels:
  helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
  app.kubernetes.io/name: glm-road
  app.kubernetes.io/instance: {{ .Release.Name }}
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
  - name: {{ .Values.gateway.name }}
    {{- with .Values.gateway.namespace }}
    namespace: {{ . }}
    {{- end }}
    {{- with .Values.gateway.sectionName }}
    sectionName: {{ . }}
    {{- end }}
{{- with .Values.hostnames }}
hostnames:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

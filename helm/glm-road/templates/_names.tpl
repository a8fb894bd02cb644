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

{{/* Of two routes alike a gateway obeys the older one: the younger road's status would say what no user
     meets. A route that names a host goes before one that names none. Roads of other namespaces are
     not looked for: who installs may have no rights there. */}}
{{- define "glm-road.checkAlone" -}}
{{- if .Release.IsInstall }}
{{- $gateway := .Values.gateway }}
{{- $home := .Release.Namespace }}
{{- range (lookup "glm-serve.io/v1alpha1" "ModelRoad" .Release.Namespace "").items }}
{{- $other := .metadata.name }}
{{- $theirs := .spec.hostnames | default list }}
{{- $alike := not (or $theirs $.Values.hostnames) }}
{{- range $theirs }}{{ if has . ($.Values.hostnames | default list) }}{{ $alike = true }}{{ end }}{{ end }}
{{- range .spec.parentRefs }}
{{- $same := and (eq .name $gateway.name) (eq (.namespace | default $home) ($gateway.namespace | default $home)) }}
{{- $listener := or (not .sectionName) (not $gateway.sectionName) (eq (.sectionName | default "") $gateway.sectionName) }}
{{- if and $same $listener $alike (ne $other $.Values.name) }}
{{- fail (printf "The road %s leads from the gateway %s already, for the same host names, and the gateway would obey that one alone: give this one hostnames or gateway.sectionName of its own, or upgrade the other." $other $gateway.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels and annotations by which objects find each other. */}}
{{- define "glm-road.checkOwnNames" -}}
{{- range $path := list "extraLabels" "extraAnnotations" }}
{{- range $name := keys (get $.Values $path | default dict) | sortAlpha }}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|version|component|part-of|managed-by)|helm\\.sh/chart|glm-serve\\.io/.*)$" $name }}
{{- fail (printf "%s: %s is the chart's own; choose another name." $path $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether a Job evaluates: a candidate that the policy wants evaluated. */}}
{{- define "glm-road.evaluates" -}}
{{- $asked := dig "evaluate" "required" true .Values.policy }}
{{- if and .Values.evaluation.enabled .Values.candidate $asked }}
{{- with .Values.evaluation.image }}
{{- if not (and .repository .digest) }}
{{- fail "evaluation.image: repository and digest are needed, those of the versions will do." }}
{{- end }}
{{- end }}
yes
{{- end }}
{{- end }}

{{- define "glm-road.evaluator" -}}
{{ .Values.name }}-evaluator
{{- end }}

{{- define "glm-road.evaluatorLabels" -}}
app.kubernetes.io/name: glm-road
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: evaluator
{{- end }}

{{/* Without what ends a name that is cut. */}}
{{- define "glm-road.evaluationName" -}}
{{- $asked := list .Values.evaluation .Values.versions .Values.stable .Values.attempt | toJson | sha256sum | trunc 8 }}
{{- printf "%s-evaluate-%s" .Values.name .Values.candidate | trunc 54 | trimSuffix "-" }}-{{ $asked }}
{{- end }}

{{/* Services are asked by their names: a gateway may not lead to a new version yet. */}}
{{- define "glm-road.evaluationArguments" -}}
{{- $digest := "" }}
{{- $against := "" }}
{{- range .Values.versions }}
{{- if eq .name $.Values.candidate }}{{ $digest = .modelDigest | default "" }}{{ end }}
{{- if eq .name $.Values.stable }}{{ $against = .modelDigest | default "" }}{{ end }}
{{- end -}}
- {{ .Values.candidate | quote }}
- --url=http://glm-{{ .Values.candidate }}:8000
- --against={{ .Values.stable }}
- --against-url=http://glm-{{ .Values.stable }}:8000
- --no-pin
{{- with $digest }}
- --digest={{ . }}
{{- end }}
{{- with $against }}
- --against-digest={{ . }}
{{- end }}
- --attempt={{ int .Values.attempt }}
- --golden=/golden
- --out=/tmp/evaluation
- --record
{{- range .Values.evaluation.arguments }}
- {{ . | quote }}
{{- end }}
{{- end }}

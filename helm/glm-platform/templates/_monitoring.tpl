{{/* As metadata, with the labels that Prometheus chooses by. */}}
{{- define "glm-platform.monitoring" -}}
{{- $chosen := deepCopy .root.Values | mergeOverwrite (dict) }}
{{- $_ := set $chosen "extraLabels" (mergeOverwrite (dict) .root.Values.extraLabels .root.Values.monitoring.labels) }}
{{- $root := dict "Values" $chosen "Release" .root.Release "Chart" .root.Chart }}
{{- include "glm-platform.metadata" (dict "root" $root "name" .name) }}
{{- end }}

{{/* Ray Serve says how many replicas there are, by prompt tokens that wait. A RayService brings the
     pods for them; here pods of plain workloads follow the same pressure, never the CPU. */}}

{{/* Replicas that are always there: by the version's own values, and while it is kept by the road's. */}}
{{- define "glm-model.least" -}}
{{ max (int .Values.replicas.min) (int .Values.replicas.kept) }}
{{- end }}

{{- define "glm-model.most" -}}
{{ max (int .Values.replicas.max) (int .Values.replicas.kept) }}
{{- end }}

{{/* Whether their number follows what waits; else empty. */}}
{{- define "glm-model.grows" -}}
{{- if ne (include "glm-model.least" .) (include "glm-model.most" .) -}}
yes
{{- end -}}
{{- end }}

{{- define "glm-model.metrics" -}}
{{- if ne .Values.autoscaling.metrics "auto" -}}
{{ .Values.autoscaling.metrics }}
{{- else -}}
{{ ternary "keda" "none" (and (.Capabilities.APIVersions.Has "keda.sh/v1alpha1") (ne .Values.autoscaling.prometheus "")) }}
{{- end -}}
{{- end }}

{{/* What scales the workers, empty if nothing does. */}}
{{- define "glm-model.scaler" -}}
{{- if and (include "glm-model.grows" .) (not .Values.suspended) .Values.workers.enabled (eq (include "glm-model.workloads" .) "plain") }}
{{- include "glm-model.metrics" . }}
{{- end }}
{{- end }}

{{/* Up at once and by half, for loading takes long; down by one worker after a quiet while. */}}
{{- define "glm-model.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - {type: Percent, value: 50, periodSeconds: 30}
    - {type: Pods, value: 1, periodSeconds: 30}
scaleDown:
  stabilizationWindowSeconds: {{ .Values.autoscaling.scaleDownAfter }}
  policies:
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end }}

{{/* Workers to begin with, as long as it is helm that has written their number; else empty. Those there
     are: but the least number where it was suspended, for no autoscaler begins at none. */}}
{{- define "glm-model.unscaled" -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace (printf "%s-worker" (include "glm-model.name" .)) }}
{{- $ours := false }}
{{- range dig "metadata" "managedFields" (list) $live }}
{{- if and (eq .manager "helm") (hasKey (dig "fieldsV1" "f:spec" (dict) .) "f:replicas") }}
{{- $ours = true }}
{{- end }}
{{- end }}
{{- if $ours }}
{{- max (int $live.spec.replicas) (include "glm-model.least" . | int) }}
{{- end }}
{{- end }}

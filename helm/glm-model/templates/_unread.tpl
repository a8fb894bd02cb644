{{/* Values that nothing would read: whoever gives them believes that they hold. */}}

{{- define "glm-model.checkUnread" -}}
{{- $source := .Values.model.source }}
{{- range $field := list "repository" "revision" "endpoint" }}
{{- if and (ne $source "hub") (get $.Values.model.hub $field) }}
{{- fail (printf "model.hub.%s is named, but model.source is %s: set it to hub, or remove it." $field $source) }}
{{- end }}
{{- end }}
{{- range $type := list "claim" "hostPath" }}
{{- if and (ne $.Values.cache.type $type) (get $.Values.cache $type) }}
{{- fail (printf "cache.%s is named, but cache.type is %s: set it to %s, or remove it." $type $.Values.cache.type $type) }}
{{- end }}
{{- end }}
{{- if and .Values.ray.redis.passwordSecret.name (not .Values.ray.redis.address) }}
{{- fail "ray.redis.passwordSecret is named, but there is no Redis: ray.redis.address is needed." }}
{{- end }}
{{- if eq .Values.workloads "rayservice" }}
{{- include "glm-model.checkUnreadByKubeRay" . }}
{{- end }}
{{- end }}

{{/* Where `auto` finds KubeRay they are left aside: the same values serve on every cluster. */}}
{{- define "glm-model.checkUnreadByKubeRay" -}}
{{- if ne .Values.autoscaling.metrics "auto" }}
{{- fail (printf "autoscaling.metrics is %s, but a RayService grows by KubeRay's own autoscaler: leave it auto." .Values.autoscaling.metrics) }}
{{- end }}
{{- if ne (int .Values.rollout.surgePercent) 100 }}
{{- fail "rollout.surgePercent is for plain workloads: KubeRay starts a whole new cluster beside the old one. Leave it 100." }}
{{- end }}
{{- end }}

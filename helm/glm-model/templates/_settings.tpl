{{/* config.yaml of glm-serve, and the times that follow from it. */}}

{{- define "glm-model.settings" -}}
{{- $model := dict "name" .Values.model.name "digest" (trimPrefix "sha256:" .Values.model.digest) }}
{{- if ne .Values.model.source "box" }}
{{- $_ := set $model "folder" "/models" }}
{{- end }}
{{- if .Values.model.publicKey.name }}
{{- $_ := set $model "public_key" (printf "/etc/glm-serve/%s" .Values.model.publicKey.key) }}
{{- end }}
{{- $replicas := dict "model_min" (include "glm-model.least" . | int) "model_max" (include "glm-model.most" . | int) "model_gpus" .Values.replicas.gpus }}
{{- if .Values.workers.enabled }}
{{- $_ := set $replicas "model_per_node" 1 }}
{{- end }}
{{- if include "glm-model.grows" . }}
{{- $_ := merge $replicas (dict "target_waiting_tokens" .Values.autoscaling.waitingTokens "scale_down_after_s" .Values.autoscaling.scaleDownAfter) }}
{{- end }}
{{- /* Each replica hides the standard streams of its process: /proc/1/fd/1 is the pod's log. */}}
{{- $log := dict "format" "json" "file" "/proc/1/fd/1" }}
{{- $server := dict "host" "0.0.0.0" "port" 8000 "version" .Values.version }}
{{- $ours := dict "server" $server "model" $model "replicas" $replicas }}
{{- if gt (int .Values.replicas.gpus) 1 }}
{{- $_ := set $ours "engine" (dict "tensor_parallel" .Values.replicas.gpus) }}
{{- end }}
{{- toYaml (mergeOverwrite (dict "log" $log) (deepCopy .Values.config) $ours) }}
{{- end }}

{{/* Seconds of the longest answer; every drain waits that long. */}}
{{- define "glm-model.longestStream" -}}
{{- $server := .Values.config.server | default dict }}
{{- $server.max_stream_s | default 600 | ceil | int }}
{{- end }}

{{/* Seconds until the first answer, at most. */}}
{{- define "glm-model.startup" -}}
{{ add .Values.startup.base (mulf .Values.startup.perGiB .Values.model.sizeGiB | ceil | int) }}
{{- end }}

{{/* Seconds of the notice, the longest stream, and a minute for Ray to end. */}}
{{- define "glm-model.grace" -}}
{{ add .Values.drain.notice (include "glm-model.longestStream" .) 60 }}
{{- end }}

{{/* The head leaves after the workers: an upgrade takes a turn for each share of the surge, and each
     turn starts new workers, then drains old ones. */}}
{{- define "glm-model.headGrace" -}}
{{- if .Values.workers.enabled }}
{{- $turns := divf 100 .Values.rollout.surgePercent | ceil | int }}
{{- add (mul $turns (add (include "glm-model.startup" .) (include "glm-model.grace" .))) 60 }}
{{- else }}
{{- /* It waits for the pod that follows it. */}}
{{- add (include "glm-model.startup" .) (include "glm-model.grace" .) }}
{{- end }}
{{- end }}

{{/* What Ray reads at its start, where glm-serve does not start it itself: KubeRay's pods. A test
     holds it to serve_app/tuning.py. */}}
{{- define "glm-model.chain" -}}
{{- $server := .Values.config.server | default dict }}
{{- $body := $server.max_body_bytes | default 4194304 | int }}
RAY_SERVE_ENABLE_HA_PROXY: "1"
RAY_SERVE_THROUGHPUT_OPTIMIZED: "1"
RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S: {{ add (include "glm-model.longestStream" .) 10 | quote }}
RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH: {{ add 4194304 (mul 2 $body) | quote }}
RAY_SERVE_LOG_TO_STDERR: "0"
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH: serve_app.ingress.request_ids:outermost
RAY_USAGE_STATS_ENABLED: "0"
HF_HUB_OFFLINE: "1"
TRANSFORMERS_OFFLINE: "1"
{{- end }}

{{/* What the schema cannot say. Each refusal is a sentence that names the value to mend. */}}

{{- define "glm-model.check" -}}
{{- include "glm-model.checkConfig" . }}
{{- include "glm-model.checkModel" . }}
{{- include "glm-model.checkReplicas" . }}
{{- include "glm-model.checkEnv" . }}
{{- end }}

{{- define "glm-model.checkConfig" -}}
{{- $taken := dict "server" (list "host" "port") "model" (list "name" "digest" "folder" "public_key") "replicas" (list "model_min" "model_max" "model_gpus" "model_per_node" "target_waiting_tokens" "scale_down_after_s") }}
{{- range $section, $fields := $taken }}
{{- range $field := $fields }}
{{- if hasKey (index $.Values.config $section | default dict) $field }}
{{- fail (printf "config.%s.%s is set by the chart: remove it and use the value of the chart that stands for it." $section $field) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "glm-model.checkModel" -}}
{{- $model := .Values.model }}
{{- if and (eq $model.source "hub") (not (and $model.hub.repository $model.hub.revision)) }}
{{- fail "model.source is hub: model.hub.repository and model.hub.revision are needed, the revision as a commit of 40 digits." }}
{{- end }}
{{- if and (eq $model.source "volume") (not $model.volume.claim) }}
{{- fail "model.source is volume: model.volume.claim must name the claim that holds the model." }}
{{- end }}
{{- if and (eq .Values.cache.type "claim") (not .Values.cache.claim) }}
{{- fail "cache.type is claim: cache.claim must name it." }}
{{- end }}
{{- if and (eq .Values.cache.type "hostPath") (not .Values.cache.hostPath) }}
{{- fail "cache.type is hostPath: cache.hostPath must name the folder on the node." }}
{{- end }}
{{- end }}

{{- define "glm-model.checkReplicas" -}}
{{- $wanted := .Values.replicas }}
{{- if lt (int $wanted.max) (int $wanted.min) }}
{{- fail "replicas.max is below replicas.min: give at least as many." }}
{{- end }}
{{- if and (not .Values.workers.enabled) (gt (int $wanted.max) 1) (gt (int $wanted.gpus) 0) }}
{{- fail "workers.enabled is false: a head alone has the GPUs of one replica; set replicas.max to 1 or enable workers." }}
{{- end }}
{{- if and (not .Values.workers.enabled) (eq .Values.workloads "rayservice") }}
{{- fail "workloads is rayservice: KubeRay's head serves nothing itself; enable workers." }}
{{- end }}
{{- if and .Values.workers.enabled (eq (include "glm-model.workloads" .) "plain") (not .Values.ray.authSecret) }}
{{- fail "ray.authSecret is needed: head and workers share a token; make one with kubectl create secret generic ray --from-literal=auth_token=$(openssl rand -hex 32)" }}
{{- end }}
{{- if and .Values.workers.enabled (gt (int $wanted.max) (int $wanted.min)) (eq (include "glm-model.workloads" .) "plain") (eq (include "glm-model.metrics" .) "none") }}
{{- fail "replicas.max is above replicas.min: plain workloads need KEDA (keda.sh/v1alpha1, with autoscaling.prometheus) or autoscaling.metrics: external." }}
{{- end }}
{{- if and (eq (include "glm-model.scaler" .) "keda") (not .Values.autoscaling.prometheus) }}
{{- fail "autoscaling.metrics is keda: autoscaling.prometheus is needed, the address that KEDA asks." }}
{{- end }}
{{- end }}

{{/* Kubernetes refuses a variable that a container has twice. */}}
{{- define "glm-model.checkEnv" -}}
{{- $held := ternary (include "glm-model.chainEnv" .) (print (include "glm-model.rayEnv" .) (include "glm-model.redisEnv" .)) (eq (include "glm-model.workloads" .) "rayservice") }}
{{- $taken := dict "HOME" true }}
{{- range print $held (include "glm-model.hubEnv" .) | fromYamlArray }}
{{- $_ := set $taken .name true }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if hasKey $taken .name }}
{{- fail (printf "extraEnv: %s is set already, by the chart or twice here; remove it." .name) }}
{{- end }}
{{- $_ := set $taken .name true }}
{{- end }}
{{- end }}

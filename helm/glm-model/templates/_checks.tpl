{{/* What the schema cannot say. Each refusal is a sentence that names the value to mend. */}}

{{- define "glm-model.check" -}}
{{- include "glm-model.checkForms" . }}
{{- include "glm-model.checkUpgrade" . }}
{{- include "glm-model.checkConfig" . }}
{{- include "glm-model.checkModel" . }}
{{- include "glm-model.checkReplicas" . }}
{{- include "glm-model.checkEnv" . }}
{{- include "glm-model.checkReckoned" . }}
{{- include "glm-model.checkUnread" . }}
{{- include "glm-model.checkPorts" . }}
{{- end }}

{{/* Settings that are the chart's: sections with their fields. */}}
{{- define "glm-model.reserved" -}}
server: [host, port, version]
model: [name, digest, folder, public_key]
engine: [tensor_parallel]
replicas: [model_min, model_max, model_gpus, model_per_node, target_waiting_tokens, scale_down_after_s]
{{- end }}

{{- define "glm-model.checkConfig" -}}
{{- range $section, $fields := include "glm-model.reserved" . | fromYaml }}
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
{{- if and (ne $model.source "volume") $model.volume.claim }}
{{- fail (printf "model.volume.claim is named, but model.source is %s: set it to volume, or remove the claim." $model.source) }}
{{- end }}
{{- if and (eq .Values.cache.type "claim") (not .Values.cache.claim) }}
{{- fail "cache.type is claim: cache.claim must name it." }}
{{- end }}
{{- if and (eq .Values.cache.type "hostPath") (not .Values.cache.hostPath) }}
{{- fail "cache.type is hostPath: cache.hostPath must name the folder on the node." }}
{{- end }}
{{- if and (ne .Values.cache.type "emptyDir") (ne $model.source "hub") }}
{{- fail (printf "cache.type is %s, but nothing is pulled: model.source is %s." .Values.cache.type $model.source) }}
{{- end }}
{{- $room := .Values.cache.sizeLimit }}
{{- if and (eq $model.source "hub") (eq .Values.cache.type "emptyDir") (hasSuffix "Gi" $room) (lt (trimSuffix "Gi" $room | float64) (float64 $model.sizeGiB)) }}
{{- fail (printf "cache.sizeLimit is %s, but model.sizeGiB is %v: the pod would be evicted while it pulls." $room $model.sizeGiB) }}
{{- end }}
{{- end }}

{{- define "glm-model.checkReplicas" -}}
{{- $wanted := .Values.replicas }}
{{- if lt (int $wanted.max) (int $wanted.min) }}
{{- fail "replicas.max is below replicas.min: give at least as many." }}
{{- end }}
{{- $device := dig "model" "device" "auto" .Values.config }}
{{- if or (and (eq $device "cuda") (eq (int $wanted.gpus) 0)) (and (eq $device "cpu") (gt (int $wanted.gpus) 0)) }}
{{- fail (printf "config.model.device is %s, but replicas.gpus is %d: one of them is wrong." $device (int $wanted.gpus)) }}
{{- end }}
{{- $quantised := dig "model" "quantization" "none" .Values.config }}
{{- if and (gt (int $wanted.gpus) 1) (ne $quantised "none") }}
{{- fail (printf "config.model.quantization is %s, but replicas.gpus is %d: quantised weights are not dealt out to several GPUs; use one, or none." $quantised (int $wanted.gpus)) }}
{{- end }}
{{- range $group := list "head" "workers" }}
{{- range $part := list "requests" "limits" }}
{{- range $resource, $_ := get (index $.Values $group).resources $part | default dict }}
{{- if or (eq $resource $.Values.gpuResource) (hasSuffix "/gpu" $resource) }}
{{- fail (printf "%s.resources.%s names %s: GPUs are given by replicas.gpus, by the name in gpuResource." $group $part $resource) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (not .Values.workers.enabled) (gt (int $wanted.gpus) 0) }}
{{- if gt (int $wanted.max) 1 }}
{{- fail "workers.enabled is false: a head alone has the GPUs of one replica; set replicas.max to 1 or enable workers." }}
{{- end }}
{{- if gt (int $wanted.kept) 1 }}
{{- fail "workers.enabled is false: a head alone has the GPUs of one replica; the road's policy.warmReplicas, which replicas.kept follows, can be no more, or enable workers." }}
{{- end }}
{{- end }}
{{- if and (not .Values.workers.enabled) (eq .Values.workloads "rayservice") }}
{{- fail "workloads is rayservice: KubeRay's head serves nothing itself; enable workers." }}
{{- end }}
{{- if and .Values.workers.enabled (eq (include "glm-model.workloads" .) "plain") (not .Values.ray.authSecret) }}
{{- fail "ray.authSecret is needed: head and workers share a token; make one with kubectl create secret generic ray --from-literal=auth_token=$(openssl rand -hex 32)" }}
{{- end }}
{{- if and .Values.workers.enabled (include "glm-model.grows" .) (eq (include "glm-model.workloads" .) "plain") (eq (include "glm-model.metrics" .) "none") }}
{{- fail "replicas.max is above replicas.min: plain workloads need KEDA (keda.sh/v1alpha1, with autoscaling.prometheus) or autoscaling.metrics: external." }}
{{- end }}
{{- if and (eq (include "glm-model.scaler" .) "keda") (not .Values.autoscaling.prometheus) }}
{{- fail "autoscaling.metrics is keda: autoscaling.prometheus is needed, the address that KEDA asks." }}
{{- end }}
{{- end }}

{{/* Settings by which the chart itself reckons: it reads them in `config`, and never a variable. */}}
{{- define "glm-model.reckoned" -}}
server: [max_stream_s, ready_deadline_s, max_body_bytes]
model: [device, quantization]
{{- end }}

{{- define "glm-model.checkReckoned" -}}
{{- range $section, $fields := include "glm-model.reckoned" . | fromYaml }}
{{- range $field := $fields }}
{{- range $.Values.extraEnv }}
{{- if eq .name (printf "GLM_%s__%s" $section $field | upper) }}
{{- fail (printf "extraEnv: %s would be unknown to the chart, which reckons by it: set config.%s.%s instead." .name $section $field) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Kubernetes refuses a variable that a container has twice. */}}
{{- define "glm-model.checkEnv" -}}
{{- $held := ternary (include "glm-model.chainEnv" .) (print (include "glm-model.rayEnv" .) (include "glm-model.redisEnv" .)) (eq (include "glm-model.workloads" .) "rayservice") }}
{{- $taken := dict "HOME" true "KUBERAY_NODE_TYPE" true }}
{{- range $section, $fields := include "glm-model.reserved" . | fromYaml }}
{{- range $fields }}
{{- $_ := set $taken (printf "GLM_%s__%s" $section . | upper) true }}
{{- end }}
{{- end }}
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

{{/* What a pod pulls from, the hub or the proxy in front of it, must be within its policy. */}}
{{- define "glm-model.checkPorts" -}}
{{- $addresses := list }}
{{- with .Values.model.hub.endpoint }}
{{- $addresses = append $addresses (dict "name" "model.hub.endpoint" "value" .) }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if and (has (upper .name) (list "HTTPS_PROXY" "HTTP_PROXY")) .value }}
{{- $addresses = append $addresses . }}
{{- end }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (eq .Values.model.source "hub") (not .Values.networkPolicy.extraEgress) }}
{{- range $addresses }}
{{- $address := urlParse .value }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $address.host) | default (ternary "443" "80" (eq $address.scheme "https")) }}
{{- $open := list }}
{{- range $.Values.networkPolicy.hubPorts }}{{ $open = append $open (int .) }}{{ end }}
{{- if not (has (int $port) $open) }}
{{- fail (printf "%s is %s, and networkPolicy.hubPorts lacks its port %s: add it, or no weights are pulled." .name .value $port) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A release keeps its version, a version its model and what holds it: what helm takes away ends at
     once. Where helm only renders there is nothing to look at, and pods alone refuse another model. */}}

{{/* `plain` or `rayservice`, as it is there; empty but in an upgrade. */}}
{{- define "glm-model.held" -}}
{{- if .Release.IsUpgrade }}
{{- if lookup "apps/v1" "Deployment" .Release.Namespace (printf "%s-head" (include "glm-model.name" .)) -}}
plain
{{- else if .Capabilities.APIVersions.Has "ray.io/v1" }}
{{- if lookup "ray.io/v1" "RayService" .Release.Namespace (include "glm-model.name" .) -}}
rayservice
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "glm-model.checkUpgrade" -}}
{{- if .Release.IsUpgrade }}
{{- range (lookup "v1" "Service" .Release.Namespace "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $ours := and (eq (get $labels "app.kubernetes.io/name") "glm-model") (eq (get $labels "app.kubernetes.io/instance") $.Release.Name) }}
{{- $other := get $labels "glm-serve.io/version" }}
{{- if and $ours $other (ne $other $.Values.version) }}
{{- fail (printf "The release %s holds version %s, which would go: install %s as a release of its own, helm install glm-%s." $.Release.Name $other $.Values.version $.Values.version) }}
{{- end }}
{{- end }}
{{- $held := include "glm-model.held" . | trim }}
{{- $wanted := include "glm-model.workloads" . }}
{{- if and $held (ne $held $wanted) }}
{{- fail (printf "Version %s is held by %s workloads, which would end before %s ones are ready: install those as another version." .Values.version $held $wanted) }}
{{- end }}
{{- include "glm-model.checkHeldModel" . }}
{{- end }}
{{- end }}

{{/* Metadata and spec of the head, as it is there; empty but in an upgrade. */}}
{{- define "glm-model.heldHead" -}}
{{- $held := include "glm-model.held" . | trim }}
{{- if eq $held "plain" }}
{{- toYaml (lookup "apps/v1" "Deployment" .Release.Namespace (printf "%s-head" (include "glm-model.name" .))).spec.template }}
{{- else if eq $held "rayservice" }}
{{- toYaml (lookup "ray.io/v1" "RayService" .Release.Namespace (include "glm-model.name" .)).spec.rayClusterConfig.headGroupSpec.template }}
{{- end }}
{{- end }}

{{/* The digest is of name, files and, of what was pulled, repository and commit. */}}
{{- define "glm-model.checkHeldModel" -}}
{{- $head := include "glm-model.heldHead" . | fromYaml }}
{{- $held := (dig "metadata" "annotations" "glm-serve.io/config" "" $head | fromYaml).model | default dict }}
{{- $wanted := (include "glm-model.settings" . | fromYaml).model }}
{{- range $field := list "name" "digest" }}
{{- $is := get $held $field }}
{{- if and $is (ne $is (get $wanted $field)) }}
{{- fail (printf "model.%s of version %s is %s for good, and not %s: install another model as another version, helm install glm-NEXT. If %s has never served, helm uninstall %s first." $field $.Values.version $is (get $wanted $field) $.Values.version $.Release.Name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* How values are spelt. The schema knows their types; here a wrong one is told what it should be. */}}

{{- define "glm-platform.checkForms" -}}
{{- $there := "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$" }}
{{- $name := printf "^$|%s" $there }}
{{- $object := "the name of an object of Kubernetes, of lower-case letters, digits, dashes and dots" }}
{{- include "glm-platform.form" (list "image.repository" .Values.image.repository "^[a-z0-9]([-a-z0-9.]*(:[0-9]+)?/)?[-a-z0-9._/]*$" "a repository without a tag, such as registry.example/glm-serve") }}
{{- include "glm-platform.form" (list "image.digest" .Values.image.digest "^sha256:[0-9a-f]{64}$" "sha256: and 64 hexadecimal digits, for a tag can be moved") }}
{{- include "glm-platform.form" (list "controller.prometheus" .Values.controller.prometheus "^(https?://.+)?$" "an address that begins with https:// or http://") }}
{{- range .Values.image.pullSecrets }}
{{- include "glm-platform.form" (list "image.pullSecrets" . $there $object) }}
{{- end }}
{{- include "glm-platform.form" (list "gateway.name" .Values.gateway.name $there $object) }}
{{- include "glm-platform.form" (list "gateway.className" .Values.gateway.className $name $object) }}
{{- include "glm-platform.form" (list "gateway.https.secret" .Values.gateway.https.secret $name $object) }}
{{- include "glm-platform.form" (list "ingress.tlsSecret" .Values.ingress.tlsSecret $name $object) }}
{{- include "glm-platform.form" (list "ingress.service" .Values.ingress.service $name $object) }}
{{- range .Values.stores }}
{{- include "glm-platform.form" (list "stores: a name" .name "^[a-z0-9]([-a-z0-9]{0,57}[a-z0-9])?$" "a DNS label, of lower-case letters, digits and dashes") }}
{{- include "glm-platform.form" (list "stores: a host" .host "^([a-z0-9]([-a-z0-9]*[a-z0-9])?\\.)*[a-z]([-a-z0-9]*[a-z0-9])?$" "a DNS name, for a Service cannot lead to an address") }}
{{- end }}
{{- include "glm-platform.checkOwnNames" . }}
{{- end }}

{{/* A list of what it is called, the value, its form and what that means. A value taken away by null is empty. */}}
{{- define "glm-platform.form" -}}
{{- $value := index . 1 | default "" }}
{{- if not (regexMatch (index . 2) $value) }}
{{- fail (printf "%s must be %s; it is %s." (index . 0) (index . 3) ($value | default "empty")) }}
{{- end }}
{{- end }}

{{/* Labels and annotations by which objects find each other. */}}
{{- define "glm-platform.checkOwnNames" -}}
{{- range $path := list "extraLabels" "extraAnnotations" }}
{{- range $name := keys (get $.Values $path | default dict) | sortAlpha }}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|version|component|part-of|managed-by)|helm\\.sh/chart|glm-serve\\.io/.*)$" $name }}
{{- fail (printf "%s: %s is the chart's own; choose another name." $path $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

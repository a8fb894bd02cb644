{{/* How values are spelt. The schema knows their types; here a wrong one is told what it should be. */}}

{{- define "glm-model.checkForms" -}}
{{- range $path, $each := include "glm-model.forms" . | fromYaml }}
{{- $value := $.Values }}
{{- range splitList "." $path }}
{{- $value = get $value . }}
{{- end }}
{{- range ($each.many | default false | ternary ($value | default list) (list ($value | default ""))) }}
{{- if not (regexMatch $each.form .) }}
{{- fail (printf "%s must be %s; it is %s." $path $each.wants (. | default "empty")) }}
{{- end }}
{{- end }}
{{- end }}
{{- include "glm-model.checkOwnNames" . }}
{{- end }}

{{- define "glm-model.forms" -}}
version:
  form: '^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$'
  wants: a DNS label such as v42, of lower-case letters, digits and dashes, at most 30
image.repository:
  form: '^[a-z0-9]([-a-z0-9.]*(:[0-9]+)?/)?[-a-z0-9._/]*$'
  wants: a repository without a tag, such as registry.example/glm-serve
image.digest:
  form: '^sha256:[0-9a-f]{64}$'
  wants: "sha256: and 64 hexadecimal digits, for a tag can be moved"
model.name:
  form: '^[A-Za-z0-9][-A-Za-z0-9._]*$'
  wants: of letters, digits, dots, dashes and underscores, for it is a folder too
model.digest:
  form: '^(sha256:)?[0-9a-f]{64}$'
  wants: 64 hexadecimal digits, as `glm-serve models list --json` tells them
model.hub.repository:
  form: '^([-A-Za-z0-9._]+/[-A-Za-z0-9._]+)?$'
  wants: OWNER/NAME on the hub
model.hub.revision:
  form: '^([0-9a-f]{40})?$'
  wants: a commit of 40 hexadecimal digits, for a branch would move
model.hub.endpoint: &address
  form: '^(https?://.+)?$'
  wants: an address that begins with https:// or http://
autoscaling.prometheus: *address
ray.redis.address:
  form: '^([^:/]+:[0-9]+)?$'
  wants: a host and its port, such as redis:6379
gpuResource:
  form: '^[-a-z0-9.]+/[-a-zA-Z0-9._]+$'
  wants: a resource with its domain, such as nvidia.com/gpu
cache.hostPath:
  form: '^(/.+)?$'
  wants: a folder of the node, from its root
cache.sizeLimit: &quantity
  form: '^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$'
  wants: a number of bytes such as 64Gi
sharedMemory: *quantity
temporary: *quantity
image.pullSecrets:
  many: true
  form: '^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$'
  wants: &wanted the name of an object of Kubernetes, of lower-case letters, digits, dashes and dots
model.hub.tokenSecret.name: &object
  form: '^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$'
  wants: *wanted
model.volume.claim: *object
model.publicKey.name: *object
cache.claim: *object
ray.authSecret: *object
ray.redis.passwordSecret.name: *object
serviceAccount.name: *object
{{- end }}

{{/* Labels and annotations by which objects find each other. */}}
{{- define "glm-model.checkOwnNames" -}}
{{- $given := dict "extraLabels" .Values.extraLabels "extraAnnotations" .Values.extraAnnotations "head.podAnnotations" .Values.head.podAnnotations "workers.podAnnotations" .Values.workers.podAnnotations }}
{{- range $path, $names := $given }}
{{- range $name := keys ($names | default dict) | sortAlpha }}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|version|component|part-of|managed-by)|helm\\.sh/chart|glm-serve\\.io/.*)$" $name }}
{{- fail (printf "%s: %s is the chart's own; choose another name." $path $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

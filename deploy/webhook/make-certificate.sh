#!/bin/sh
# A CA of your own for the webhook, without cert-manager: the Secret with the certificate, and caBundle in
# the configuration. Run it after `kubectl apply -f webhook.yaml`, and again before the certificate ends (a year).
set -eu

name=inox-webhook.inox-system.svc
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=inox webhook CA" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout tls.key -out tls.csr 2>/dev/null
printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$name" >extensions
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -days 365 -extfile extensions -out tls.crt 2>/dev/null

kubectl -n inox-system create secret tls inox-webhook-tls --cert=tls.crt --key=tls.key --dry-run=client -o yaml |
  kubectl apply -f -
bundle=$(base64 <ca.crt | tr -d '\n')
for index in 0 1; do
  kubectl patch mutatingwebhookconfiguration inox-webhook --type=json \
    -p "[{\"op\":\"add\",\"path\":\"/webhooks/$index/clientConfig/caBundle\",\"value\":\"$bundle\"}]"
done

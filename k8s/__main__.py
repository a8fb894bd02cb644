"""`python -m k8s` is `kubectl glm`; the cluster runs `python -m k8s controller`."""

from k8s.cli import main

if __name__ == "__main__":
    main()

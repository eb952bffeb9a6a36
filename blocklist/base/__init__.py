"""What every program needs: errors, messages in two languages, instants, durable files, subprocesses, strict YAML."""

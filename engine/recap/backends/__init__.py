"""Who answers requests: vLLM in this process, or any OpenAI-compatible server, behind one interface."""

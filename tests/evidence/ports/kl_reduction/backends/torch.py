import torch.nn.functional as F

T = 2.0


def loss(params, data):
    logits = F.linear(data["x"], params["w"].T, params["b"])
    student = F.log_softmax(logits / T, dim=-1)
    teacher = F.softmax(data["teacher"] / T, dim=-1)
    soft = F.kl_div(student, teacher, reduction="mean") * T**2
    return 0.7 * soft + 0.3 * F.cross_entropy(logits, data["labels"])

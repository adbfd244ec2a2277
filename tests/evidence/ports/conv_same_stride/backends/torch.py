from torch import nn
from torch.func import functional_call


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.c2 = nn.Conv2d(4, 4, 3, stride=2, padding=1, bias=False)
        self.fc = nn.Linear(36, 3, bias=False)
        self.act = nn.Tanh()

    def forward(self, x):
        x = self.act(self.c1(x))
        x = self.act(self.c2(x))
        return self.fc(x.flatten(1))


classifier = Classifier()


def loss(params, data):
    weights = {"c1.weight": params["c1"], "c2.weight": params["c2"], "fc.weight": params["fc"].T}
    logits = functional_call(classifier, weights, data["x"])
    return nn.functional.cross_entropy(logits, data["labels"])
